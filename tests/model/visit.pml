/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Calls under way, and who frees what they may look at. Mirrors lib/base/visit.hh and .cc: enter, leave, Outside,
 * wait_for_visits; and vanish() and free_ctx() in lib/api/context.cc.
 *
 * The processor may delay a visitor's store: what the visit does next can come before anybody sees that it has begun.
 * So a store waits in a buffer until the processor, or the barrier that membarrier(2) makes every thread pass, lets it
 * out. Releases come in order, so leaving empties the buffer.
 */
#ifndef VISITORS
#define VISITORS 2
#endif
#define CALLS 2

bool findable = true;            /* the context can be found: its handles are in the directory, its room says it lives */
bool freed;
byte shown[VISITORS];            /* depth as other threads see it */
byte serial[VISITORS];
bool buffered[VISITORS];         /* the store of enter() has not come out yet */
byte holds;                      /* calls that are outside and have left something that keeps the context: its slot */

inline flush(V) { if :: buffered[V] -> buffered[V] = false; shown[V] = 1 :: else fi }

inline enter(V)
{
    atomic { buffered[V] = true };
    if
    :: atomic { flush(V) }
    :: skip
    fi
}

inline leave(V) { atomic { flush(V); shown[V] = 0; serial[V] = 1 - serial[V] } }

active [VISITORS] proctype Visitor()
{
    byte me = _pid, n;
    bool found;

    do
    :: n < CALLS ->
        n++;
        enter(me);
        found = findable;
        if
        :: found -> assert(!freed)               /* a look at the slot, the domain, the context */
        :: else
        fi;
        if
        :: found && findable ->
            /* It finishes a source: the finalizer is the program's, and runs outside. The slot keeps the context. */
            atomic { if :: findable -> holds++ :: else -> found = false fi };
            if
            :: found ->
                leave(me);
                assert(!freed);
                enter(me);
#ifdef BUG_GIVES_BACK_OUTSIDE
                leave(me);
                holds--;
                assert(!freed);                  /* its pool's lock, say */
                enter(me);
#else
                holds--;
                assert(!freed);
#endif
            :: else
            fi
        :: else
        fi;
        if
        :: found -> assert(!freed)
        :: else
        fi;
        leave(me)
    :: else -> break
    od
}

active proctype Ender()
{
    byte v, seen;

    (holds == 0);                                /* no source is left */
#ifdef BUG_FREED_IN_SIGHT
    skip;
#else
    atomic { holds == 0 -> findable = false };
#endif
    v = 0;
#ifndef BUG_NO_BARRIER
    do
    :: v < VISITORS -> atomic { flush(v) }; v++
    :: else -> break
    od;
#endif
    v = 0;
    do
    :: v < VISITORS ->
#ifdef BUG_DOES_NOT_WAIT
        skip;
#else
        seen = serial[v];
        if
        :: shown[v] == 0
#ifdef BUG_WAITS_FOR_THE_WRONG_VISIT
        :: serial[v] == seen && shown[v] != 0    /* takes any change for the end */
#else
        :: serial[v] != seen || shown[v] == 0
#endif
        fi;
#endif
        v++
    :: else -> break
    od;
#ifdef BUG_FREED_IN_SIGHT
    findable = false;
#endif
    freed = true
}
