/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The life of a concurrent source: any number of threads run its callback, the word counts them.
 * Mirrors lib/source/source.cc for concurrent sources: deliver, serve_concurrent, activate, run_postponed, retire_word,
 * retire_and_wait, drop, finish.
 *
 * The state stays ARMED while calls are under way. A call that says "again" takes it to POSTPONED, once; calls go on and
 * begin nevertheless, and a worker pops it back to ARMED with one call more.
 * Whoever brings `running` to 0 in RETIRED finishes: the remover counts as one until it has detached.
 */
mtype = { FREE, ARMED, POSTPONED, RETIRED };

#ifndef WORKERS
#define WORKERS 3
#endif
#define EDGES 4
#define AGAINS 2

mtype state = ARMED;
byte  gen = 1, running;
bool  waiter, pending;
bool  linked;

bool  k_armed = true, k_ready;

/* Ghosts */
bool  owed, removed;
byte  inside, finalized;
byte  agains = AGAINS;
bool  removals = true;          /* one removal in one run, by whomever, or none */

inline finish()
{
    atomic {
        assert(gen == 1 && state == RETIRED && running == 0 && !k_armed);
        assert(inside == 0);                     /* after the last call */
        assert(!linked);
        finalized++;
        assert(finalized == 1)                   /* exactly once */
    };
    atomic { waiter = false; gen++; state = FREE }
}

inline start()
{
    assert(gen == 1 && !removed && finalized == 0);
    owed = false;
    inside++
#ifdef REACH_MANY
    ; assert(inside < WORKERS)                   /* must be violated: as many as there are workers run at once */
#endif
}

/* retire. The list lock is held when it leaves POSTPONED, so the unlinking is part of that step. */
inline remove()
{
    atomic {
        if
        :: gen == 1 && (state == ARMED || state == POSTPONED) ->
            state = RETIRED; removed = true; owed = false; pending = false;
#ifndef BUG_NO_UNLINK
            linked = false;
#endif
            running++; retired = true
        :: else
        fi
    };
    if
    :: atomic { retired -> k_armed = false; k_ready = false };
        atomic { running--; retired = false; ends = (running == 0) };
#ifdef BUG_REMOVER_ALWAYS_FINISHES
        ends = true;
#endif
        if
        :: atomic { ends -> ends = false }; finish()
        :: else
        fi
    :: else
    fi
}

active [WORKERS] proctype Worker()
{
    bool runs, says_again, ends, retired;
#ifdef BUG_COUNT_IN_TWO_STEPS
    byte count;
#endif

end:
    do
    :: true ->
endwait:
        if
        :: atomic { k_ready -> k_ready = false };
            atomic {                             /* event */
                if
#ifdef BUG_START_WHEN_RETIRED
                :: state == RETIRED -> running++; runs = true; start()
#endif
                :: gen == 1 && (state == ARMED || state == POSTPONED) -> running++; runs = true; start()
                :: else
                fi
            }
        :: atomic { linked ->                    /* pop */
            linked = false;
            assert(gen == 1 && state == POSTPONED);
            state = ARMED; running++; pending = false; runs = true; start()
           }
        fi;
        if
        :: runs ->
            if
            :: skip
            :: atomic { agains > 0 -> agains--; says_again = true }
            :: atomic { removals -> removals = false }; remove()     /* its own source, from inside */
            fi;
            atomic { assert(gen == 1 && state != FREE); inside--; if :: says_again && !removed -> owed = true :: else fi };
            atomic {                             /* activate: while it still holds */
                if
                :: state == ARMED && says_again -> state = POSTPONED; pending = true; linked = true
                :: state == POSTPONED && says_again -> pending = true
                :: else
                fi;
                says_again = false
            };
#ifdef BUG_COUNT_IN_TWO_STEPS
            count = running - 1;
#endif
            atomic {                             /* drop */
                assert(running > 0);
#ifdef BUG_COUNT_IN_TWO_STEPS
                running = count; count = 0;
#else
                running--;
#endif
                runs = false;
#ifdef BUG_EVERYBODY_FINISHES
                ends = (state == RETIRED)
#else
                ends = (state == RETIRED && running == 0)
#endif
            };
            if
            :: atomic { ends -> ends = false }; finish()
            :: else
            fi
        :: else
        fi
    od
}

active proctype Outsider()
{
    bool ends, retired;

    if
    :: atomic { removals -> removals = false };
        remove();
        if
        :: skip
        :: atomic { if :: gen == 1 -> waiter = true :: else fi };
            (gen != 1);
            assert(finalized == 1)
        fi
    :: skip
    fi
}

active proctype Kernel()
{
    byte n;

end:
    do
    :: atomic { n < EDGES && k_armed ->
#ifndef LIVENESS
        n++;
#endif
        k_ready = true;
        if :: !removed -> owed = true :: else fi
      }
    od
}

#ifndef LIVENESS
active proctype Silence()
{
    atomic {
        timeout ->
        assert(!owed && !linked && running == 0 && inside == 0);
        assert(state == (removed -> FREE : ARMED));
        assert(finalized == (removed -> 1 : 0))
    }
}
#else
ltl ended { [] (removed -> <> (finalized == 1)) }
#endif
