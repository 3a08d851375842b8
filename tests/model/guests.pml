/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The count of a listener's streams, which outlives the listener as long as one of them does: who frees it. Mirrors
 * lib/kinds/listener.cc: enter, take_connection, leave, wake_starved, close_guests, free_listener, end_acceptor.
 *
 * The listener's source is held by its acceptors, by who removes it, and by a stream that has ended while it wakes the
 * acceptors; the last one frees the listener, and gives up its part of the count. (The count itself is listener.pml's.)
 */
#ifndef PARTS
#define PARTS 1
#endif
#ifndef STREAMS
#define STREAMS 2
#endif

byte number, most = 1;           /* Guests::word, with the next: read and changed together */
bool listens = true;
byte freed;                      /* how often the count was freed */

bool live = true;                /* the listener's source has not ended */
#ifdef BUG_ACCEPTORS_HOLD_NOTHING
byte holders;                    /* of it */
#else
byte holders = PARTS;            /* of it */
#endif
bool gone;                       /* it was freed, with its parts */

bool event[PARTS] = true, retired[PARTS], running[PARTS], starved[PARTS];
byte waiting = STREAMS;          /* connections in the socket */
byte born;                       /* streams */

#define FULL (number >= most)

inline look_at_count() { assert(freed == 0) }
inline free_count() { freed++; assert(freed == 1 && number == 0) }

inline close_count(LEFT)
{
#ifdef BUG_CLOSES_IN_TWO_STEPS
    look_at_count(); LEFT = number;
    listens = false;
#else
    atomic { look_at_count(); listens = false; LEFT = number };
#endif
#ifdef BUG_LISTENER_ALWAYS_FREES
    free_count()
#else
    if :: LEFT == 0 -> free_count() :: else fi
#endif
}

inline let_go(LAST, LEFT)
{
    atomic { assert(holders > 0); holders--; LAST = !live && holders == 0 };
    if
    :: LAST ->
        close_count(LEFT);
        gone = true
    :: else
    fi
}

inline wake_starved()
{
    assert(!gone);
    if :: atomic { starved[0] -> starved[0] = false; event[0] = true } :: !starved[0] fi;
#if PARTS > 1
    if :: atomic { starved[1] -> starved[1] = false; event[1] = true } :: !starved[1] fi
#endif
}

inline leave(LISTENED, HELD, LAST, LEFT)
{
#ifndef BUG_ASKS_LATE_WHOSE_IT_IS
    look_at_count();             /* g.listener */
#endif
#ifdef BUG_LEAVES_IN_TWO_STEPS
    atomic { look_at_count(); number-- };
    atomic { look_at_count(); LEFT = number; LISTENED = listens };
#else
    atomic { look_at_count(); number--; LEFT = number; LISTENED = listens };
#endif
    if
    :: !LISTENED ->
#ifndef BUG_NOBODY_FREES
        if :: LEFT == 0 -> free_count() :: else fi
#else
        skip
#endif
    :: else ->
#ifdef BUG_ASKS_LATE_WHOSE_IT_IS
        look_at_count();
#endif
#ifdef BUG_WAKES_WITHOUT_HOLDING
        wake_starved()
#else
        atomic { HELD = live; if :: HELD -> holders++ :: else fi };
        if
        :: HELD ->
            wake_starved();
            let_go(LAST, LEFT)
        :: else
        fi
#endif
    fi
}

inline enter(ME, ENTERED)
{
    atomic { look_at_count(); if :: !FULL -> number++; ENTERED = true :: else -> ENTERED = false fi };
    if
    :: !ENTERED ->
        assert(!gone);
        starved[ME] = true;
        atomic { look_at_count(); if :: !FULL -> number++; ENTERED = true :: else fi }
    :: else
    fi
}

/* Its end gives up what it holds of the listener, by whoever comes to it. */
inline end_acceptor(LAST, LEFT)
{
#ifndef BUG_ACCEPTORS_HOLD_NOTHING
    let_go(LAST, LEFT)
#else
    skip
#endif
}

proctype Acceptor(byte me)
{
    bool entered, found, listened, held, last;
    byte left;

end:
    do
    :: atomic { event[me] && !retired[me] -> event[me] = false; running[me] = true };
        do
        :: true ->
            found = false;
            enter(me, entered);
            if
            :: !entered -> break
            :: else
            fi;
            assert(!gone);
            atomic { if :: waiting > 0 -> waiting--; found = true :: else fi };
            if
            :: found -> born++   /* the place is the stream's */
            :: true ->           /* none, or no memory for a stream */
                leave(listened, held, last, left);
                break
            fi
        od;
        atomic { running[me] = false; last = retired[me] };
        if
        :: last -> end_acceptor(last, left); break
        :: else
        fi
    :: retired[me] && !running[me] -> break
    od
}

proctype Stream()
{
    bool listened, held, last;
    byte left;
end:
    atomic { born > 0 -> born-- };
    leave(listened, held, last, left)
}

inline remove_acceptor(ME)
{
    atomic { retired[ME] = true; last = !running[ME] };
    if :: last -> end_acceptor(last, left) :: else fi
}

active proctype Remover()
{
    bool last;
    byte left;
    atomic { live = false; holders++ };
    remove_acceptor(0);
#if PARTS > 1
    remove_acceptor(1);
#endif
    let_go(last, left)
}

/* When nobody can go on the listener is gone, and so is the count with the last stream. */
active proctype Rest()
{
    timeout -> assert(gone && !listens && freed == (number == 0 -> 1 : 0) && number == born)
}

init {
    atomic {
        run Acceptor(0);
#if PARTS > 1
        run Acceptor(1);
#endif
        run Stream();
        if :: run Stream() :: skip fi   /* one may stay */
    }
}
