/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Falling asleep and being woken: posted work, the number of sleepers, the flag that saves wake-ups, the eventfd.
 * Mirrors lib/source/domain.hh: poke, poke_taken, fall_asleep, woke_up, has_work; posted.hh: put, run_batch; lib/worker/worker.cc:
 * round, wait, block, loop; and lib/api/run.cc: enter, leave.
 *
 * Poster: publishes the work, then looks for sleepers. Sleeper: announces itself, then looks for work once more. Both in
 * one total order, so that one of the two sees the other. What a weaker order allows is what the two mutants do that
 * look first: they are the reason for seq_cst on both sides.
 *
 * The eventfd is edge-triggered in one epoll descriptor that all workers of the domain wait on: an edge goes to one
 * waiter, now or later, and edges merge until somebody takes them. Who takes one clears `poked`, and looks for work
 * after that; this holds for a poll that does not block as well.
 *
 * DRIVEN: one worker, no thread; the program runs a pass when the descriptor is readable or the deadline has come, and
 * between passes the context counts as asleep. SLOW: a posted function that takes as long as it likes; its siblings have to sleep meanwhile, not to spin.
 */
#ifndef WORKERS
#define WORKERS 2
#endif
#ifdef LIVENESS
#define POSTS 1                 /* by each of two threads */
#else
#define POSTS 2
#endif

byte waiting;                   /* posted and not taken */
bool busy;                      /* a worker runs a batch */
byte sleepers;
bool poked;
bool edge;                      /* the eventfd is on the ready list */
bool other;                     /* something else is on it */
bool stopping;

/* Ghosts */
byte posted, served, blocked, gone;

#ifdef BUG_BUSY_COUNTS_AS_WORK
#define HAS_WORK (waiting > 0 || busy)
#else
#define HAS_WORK (waiting > 0 && !busy)
#endif

inline poke()
{
    if
    :: sleepers != 0 ->
        atomic { pokes = !poked; poked = true };
        if
#ifdef BUG_WAKE_NOBODY_TWICE
        :: pokes && blocked > 0 -> edge = true
#else
        :: pokes -> edge = true
#endif
        :: else
        fi
    :: else
    fi
}

inline run_batch()
{
    atomic {
        if
        :: !busy && waiting > 0 -> busy = true; n = waiting; waiting = 0
        :: else
        fi
    };
    if
    :: n > 0 ->
#ifdef SLOW
        (blocked == WORKERS - 1);                /* returns only when all the others sleep */
#endif
        atomic { served = served + n; n = 0 };
        busy = false
    :: else
    fi
}

#ifndef DRIVEN

active [WORKERS] proctype Worker()
{
    byte n;
    bool takes;
#ifdef BUG_LOOK_BEFORE_ANNOUNCE
    bool saw;
#endif

end:
next:
    do
    :: stopping ->
        /* One edge reaches one worker: each that leaves wakes the next. */
#ifndef BUG_STOP_WAKES_ONE
        edge = true;
#endif
        atomic { gone++; break }
    :: !stopping ->
        run_batch();
        /* Polls once without blocking: nobody announced anything, and yet the edge may be taken here. */
        if
        :: atomic { edge -> edge = false; takes = true }
        :: skip
        fi;
#ifndef BUG_POLL_KEEPS_POKED
        if :: takes -> poked = false :: else fi;
#endif
        if
        :: takes -> takes = false; goto next
        :: else
        fi;
#ifdef BUG_LOOK_BEFORE_ANNOUNCE
        saw = HAS_WORK;
        sleepers++;
        if
        :: saw || stopping
#else
        sleepers++;
        if
#ifndef BUG_NO_RECHECK_BEFORE_SLEEP
        :: HAS_WORK || stopping
#endif
#endif
        :: else ->
            blocked++;
endwait:    atomic {
                if
                :: edge -> edge = false; takes = true
                :: other -> other = false
                fi;
                blocked--
            }
        fi;
        sleepers--;
#ifndef BUG_WOKEN_KEEPS_POKED
        if :: takes -> poked = false :: else fi;
#endif
        takes = false
    od
}

#else

active proctype Driver()
{
    byte n;
    bool takes;

    sleepers = 1;
endwait:
    do
    :: edge || other ->                          /* the descriptor is readable */
pass:
        sleepers--;                              /* enter: posts of now on are seen by the look at the deadline */
        atomic { takes = edge; edge = false; other = false };
#ifndef BUG_POLL_KEEPS_POKED
        if :: takes -> poked = false; takes = false :: else fi;
#endif
        run_batch();
        sleepers++;                              /* leave */
#ifndef BUG_DEADLINE_IGNORES_WORK
        if
        :: HAS_WORK -> goto pass                 /* torque_deadline() says: now */
        :: else
        fi
#endif
    od
}

#endif

active [2] proctype Poster()
{
    byte n;
    bool pokes;

#ifdef DRIVEN
    sleepers == 1;
#endif
    do
    :: n < POSTS ->
#ifdef BUG_LOOK_BEFORE_PUSH
        if
        :: sleepers != 0 -> atomic { waiting++; posted++ }; poke()
        :: else -> atomic { waiting++; posted++ }
        fi;
#else
        atomic { waiting++; posted++ };
        poke();
#endif
        n++
    :: else -> break
    od
}

/* Something that is not posted work wakes a worker: it clears `poked`, and another's edge may still be there. */
active proctype Other()
{
    other = true
}

#if !defined(DRIVEN) && !defined(SLOW)
active proctype Stopper()
{
    posted == 2 * POSTS && served == posted;     /* so that a lost wake-up is not repaired by the end */
    stopping = true;
    edge = true
}
#endif

#ifndef LIVENESS
active proctype Silence()
{
    atomic {
        timeout ->
        assert(posted == 2 * POSTS && served == posted);         /* no lost wake-up */
#if !defined(DRIVEN) && !defined(SLOW)
        assert(gone == WORKERS && sleepers == 0)                 /* all left */
#endif
    }
}
#else
ltl served_all { <> (served == 2 * POSTS) }
#endif
