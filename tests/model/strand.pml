/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A strand: sources and posted work that share it never run at the same time.
 * Mirrors lib/source/strand.cc: enter, serve_first, serve_queue, take, post; and deliver, settle, retire, drop, finish
 * for sources of a strand.
 *
 * The strand is idle (ARMED), waits on the domain's list (POSTPONED), or has a runner (HELD). A worker that took one of
 * its sources to HELD runs it at once when the strand is idle; else it queues it, still HELD, and goes on. The runner
 * takes what is queued, a few at a time, and then puts the strand on the domain's list.
 * A source that is removed while it waits is taken out of the queue by its remover, who gives up the queue's hold for
 * it: a waiting remover may be the only worker there is, and nobody else would come by.
 * remove-and-wait is refused inside the strand: there the holder may be the caller.
 */
mtype = { FREE, ARMED, HELD, POSTPONED, RETIRED };

#define SOURCES 2
#define WORK    2               /* the number of the posted function, beside sources 0 and 1 */
#define BUDGET  2               /* what a runner runs before the domain's list has its turn */
#define EDGES   3
#ifndef WORKERS
#define WORKERS 2
#endif

/* The sources */
mtype state[SOURCES] = ARMED;
bool  again[SOURCES];
bool  registered[SOURCES] = true, k_ready[SOURCES];

/* The strand, guarded by its lock (each atomic is one critical section) */
mtype strand = ARMED;
chan  queue = [3] of { byte };

/* Ghosts */
byte  inside;                   /* threads that run anything of the strand */
bool  owed[SOURCES], removed[SOURCES];
byte  finalized[SOURCES];
bool  posted, worked;
bool  removals = true;

inline finish(S)
{
    atomic {
        registered[S] = false; k_ready[S] = false;
        assert(state[S] == RETIRED);
        finalized[S]++;
        assert(finalized[S] == 1)
    };
    state[S] = FREE
}

/* retire: any thread, from inside the strand too. */
inline remove(S)
{
    atomic {
        ends = false; was_held = (state[S] == HELD);
        if
        :: state[S] == ARMED || state[S] == HELD ->
            state[S] = RETIRED; removed[S] = true; owed[S] = false;
            ends = !was_held
        :: else -> was_held = false
        fi
    };
    atomic { registered[S] = false; k_ready[S] = false };
    if
    :: was_held ->
        atomic {                                 /* under the strand's lock */
            if
#ifndef BUG_REMOVED_STAYS_QUEUED
#ifdef BUG_REMOVER_FINISHES_QUEUED
            :: queue??[eval(S)] -> ends = true
#else
            :: queue??[eval(S)] -> queue??eval(S); ends = true
#endif
#endif
            :: else
            fi;
            was_held = false
        }
    :: else
    fi;
    if
    :: atomic { ends -> ends = false }; finish(S)
    :: else
    fi
}

/* What the runner does with one source that it holds, or with the posted function. */
inline run_one()
{
    runs = false;
    atomic {
        if
        :: what == WORK -> runs = true
        :: what != WORK ->
            assert(state[what] == HELD || state[what] == RETIRED);   /* never a slot that is gone */
#ifdef BUG_QUEUED_RUNS_AFTER_REMOVE
            runs = true; assert(!removed[what])
#else
            runs = (state[what] == HELD)
#endif
        fi;
        if
        :: runs ->
            inside++;
            assert(inside == 1);                 /* never two of one strand */
            if :: what == WORK -> assert(!worked); worked = true :: else -> assert(!removed[what]); owed[what] = false; again[what] = false fi
        :: else
        fi
    };
    if
    :: runs && what != WORK ->
        if
        :: skip
        :: atomic { removals -> removals = false };
            if
            :: remove(what)                      /* itself */
            :: remove(1 - what)                  /* the other one of the strand */
#ifdef BUG_WAIT_IN_STRAND
            :: remove(1 - what);  (state[1 - what] == FREE)
#endif
            fi
        fi
    :: else
    fi;
    atomic {
        if :: runs -> inside-- :: else fi;
        if
        :: what != WORK ->                       /* release, queue once more, or finalize */
            if
            :: state[what] == HELD && !again[what] -> state[what] = ARMED
            :: state[what] == HELD && again[what] -> queue!what
            :: state[what] == RETIRED -> ends = true
            fi
        :: else
        fi
    };
    if
    :: atomic { ends -> ends = false }; finish(what)
    :: else
    fi
}

active [WORKERS] proctype Worker()
{
    byte what, n;
    bool runs, ends, was_held, runner;

end:
    do
    :: atomic { removals -> removals = false };
        /* A source outside of the strand removes one inside, and waits. */
        remove(0);
        (state[0] == FREE)
    :: k_ready[0] || k_ready[1] || strand == POSTPONED ->
        runner = false;
        if
        :: atomic { k_ready[0] -> k_ready[0] = false; what = 0; runs = true }
        :: atomic { k_ready[1] -> k_ready[1] = false; what = 1; runs = true }
        :: atomic { strand == POSTPONED -> strand = HELD; runner = true; runs = false }
        :: else -> runs = false
        fi;
        if
        :: runs ->
            atomic {                             /* event */
                if
                :: state[what] == ARMED -> state[what] = HELD
                :: state[what] == HELD -> again[what] = true; runs = false
                :: else -> runs = false          /* stale */
                fi
            }
        :: else
        fi;
        if
        :: runs ->
            atomic {                             /* enter */
                if
#ifdef BUG_STRAND_IGNORES_RUNNER
                :: true -> strand = HELD; runner = true
#else
                :: strand == ARMED -> strand = HELD; runner = true
                :: else -> queue!what
#endif
                fi
            };
            if
            :: runner -> run_one()
            :: else
            fi
        :: else
        fi;
        n = 0;
        do
        :: runner && n < BUDGET ->
#ifdef BUG_LEAVES_IN_TWO_STEPS
            if
            :: atomic { nempty(queue) -> queue?what; runs = true }
            :: empty(queue) -> runs = false
            fi;
            if
            :: !runs -> strand = ARMED; runner = false
            :: else -> n++; run_one()
            fi
#else
            if
            :: atomic { nempty(queue) -> queue?what }; n++; run_one()
            :: atomic { empty(queue) -> strand = ARMED; runner = false }
            fi
#endif
        :: runner && n >= BUDGET ->
            atomic { strand = (len(queue) > 0 -> POSTPONED : ARMED); runner = false }
        :: !runner -> break
        od;
        atomic { what = 0; n = 0; runs = false }
    od
}

active proctype Poster()
{
    atomic {
        posted = true;
        queue!WORK;
#ifndef BUG_POST_DOES_NOT_SCHEDULE
        if :: strand == ARMED -> strand = POSTPONED :: else fi
#endif
    }
}

/* Any other thread: it may wait, since the strand's runner is another. */
active proctype Outsider()
{
    bool ends, was_held;

    if
    :: atomic { removals -> removals = false };
        remove(0);
        if
        :: skip
        :: (state[0] == FREE); assert(finalized[0] == 1)
        fi
    :: skip
    fi
}

active proctype Kernel()
{
    byte n;

end:
    do
    :: atomic { n < EDGES && registered[0] ->
        n++; k_ready[0] = true; if :: !removed[0] -> owed[0] = true :: else fi }
    :: atomic { n < EDGES && registered[1] ->
        n++; k_ready[1] = true; if :: !removed[1] -> owed[1] = true :: else fi }
    od
}

#ifndef LIVENESS
active proctype Silence()
{
    byte s;

    atomic {
        timeout ->
        assert(strand == ARMED && inside == 0 && empty(queue));
        assert(posted && worked);
        do
        :: s < SOURCES ->
            assert(!owed[s]);                    /* no event lost */
            assert(state[s] == (removed[s] -> FREE : ARMED));
            assert(finalized[s] == (removed[s] -> 1 : 0));
            s++
        :: else -> break
        od
    }
}
#else
ltl served { ([] (owed[0] -> <> !owed[0])) && ([] (posted -> <> worked)) }
#endif
