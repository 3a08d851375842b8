/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A source whose last holder is a call that only looked into it. Mirrors lib/source/source.cc: hold, let_go, drop, retire,
 * wait_for_end, take_left, finish_left; and the count of holders in word.hh.
 *
 * Such a call does not finish the source: it leaves it on a list, which is its holder from then on. A worker takes it from
 * there, or whoever waits for the end: the waiter may be the only worker there is. The count of holders has few bits: one
 * that would be one too many waits until there is room.
 */
#define MOST 2                   /* holders that may come by themselves; above is room for the remover */
#define ROOM 3                   /* the next one runs over into the generation */
#define LOOKERS 3
#ifndef WORKERS
#define WORKERS 1
#endif

bool retired, left, waiter;      /* the word */
byte running;
byte generation;
bool on_list;                    /* under the list's lock, as is a change of left */
byte finals;
bool in_a_call;                  /* ghost: the finalizer ran in a call that only looked */
bool returned;

inline count_up() { running++; if :: running > ROOM -> generation++; running = 0 :: else fi }

inline finish()
{
    atomic { assert(retired && running == 0 && !left); finals++; assert(finals == 1) };
    generation++                                 /* the word changes, then waiters are woken */
}

inline drop()
{
    atomic { assert(running > 0); running--; last = (retired && running == 0) };
    if :: last -> finish() :: else fi
}

active [LOOKERS] proctype Looker()
{
    bool held, last;

    atomic {                                     /* hold */
        if
        :: generation != 0 || retired -> held = false
#ifdef BUG_COUNTS_ON
        :: else -> held = true; count_up()
#else
        :: generation == 0 && !retired && running < MOST -> held = true; count_up()
#endif
        fi
    };
    if
    :: held ->
        assert(generation == 0 && !finals);
#ifdef BUG_LOOKER_FINISHES
        atomic { running--; last = (retired && running == 0) };
        if :: last -> in_a_call = true; finish() :: else fi
#else
        atomic {                                 /* let_go */
            last = (retired && running == 1);
            if :: !last -> running-- :: else fi
        };
        if
        :: last ->
            atomic { left = true; on_list = true }
        :: else
        fi
#endif
    :: else
    fi
}

inline take_left(OK)
{
    atomic {
        OK = (left && on_list);
        if :: OK -> left = false; on_list = false :: else fi
    }
}

active [WORKERS] proctype Worker()
{
    bool last, ok;

#ifndef WAITER_IS_THE_WORKER
end:
    do
    :: on_list ->
        take_left(ok);
        if :: ok -> drop() :: else fi
    :: generation != 0 -> break
    od
#endif
}

active proctype Remover()
{
    bool last, ok;

    atomic { retired = true; count_up() };       /* one more holder, whatever the count */
    assert(generation == 0);
    drop();
    /* and waits */
    do
    :: generation != 0 -> break
    :: else ->
#ifdef BUG_WAITER_DOES_NOT_TAKE
        waiter = true;
        (generation != 0);
#else
        if
        :: left -> take_left(ok); if :: ok -> drop() :: else fi
        :: else
        fi;
        atomic {
            if
            :: generation == 0 && !left -> waiter = true
            :: else
            fi
        };
#endif
        if
#ifdef BUG_LEAVER_DOES_NOT_WAKE
        :: waiter -> (generation != 0)
#else
        :: waiter -> (generation != 0 || left); waiter = false
#endif
        :: else
        fi
    od;
    returned = true
}

active proctype Silence()
{
    atomic {
        timeout ->
        assert(finals == 1 && returned && !left && !on_list && !in_a_call)
    }
}
