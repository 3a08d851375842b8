/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The life of an exclusive source: one slot, its 64-bit word, every transition a compare-and-swap.
 * Mirrors lib/source/source.cc: create, arm_word and start; deliver (event), settle (release or one more call),
 * run_again_later (postpone), run_postponed (pop), activate, retire (remove), retire_and_wait, drop, finish (finalize).
 *
 * One `atomic` is one successful compare-and-swap, or one critical section of the entry lock or of the list lock.
 * A compare-and-swap that fails reloads and tries again; it has no effect, so it has no step here.
 *
 * Three sizes keep the search short: HANDOFF (events and hand-off, two directions, one removal), REUSE (removals from
 * everywhere, the slot used again; the default), and the same with LIVENESS (the kernel never falls silent).
 *
 * What is not here: descriptor numbers (descriptor.pml), many calls at once (concurrent.pml), strands (strand.pml),
 * sleeping (sleep.pml). Two callbacks that wait for each other's source wait for ever: that is the callers' affair.
 */
mtype = { FREE, NEW, ARMED, HELD, POSTPONED, RETIRED };

#define IN      1
#define OUT     2
#define TRIGGER 4               /* activate, by a thread of the user */
#define ALL     7

#ifdef HANDOFF
#define DIRECTIONS  2
#define EDGES       3           /* edges that the kernel makes in one run */
#define GENERATIONS 1           /* sources that live in the slot, one after the other */
#define REMOVALS    1           /* removals in one run, by whomever */
#define AGAINS      2           /* how often callbacks say "again" in one run */
#else
#define DIRECTIONS  1
#define EDGES       2
#define GENERATIONS 2
#define REMOVALS    3
#define AGAINS      1
#endif
#define RERUNS      1           /* how often a holder goes round by itself before it postpones */

/* The word of the slot. */
mtype state = FREE;
byte  gen = 1;
bool  again, waiter;
byte  running;                  /* holders: the thread that calls, and removers until they have detached */
byte  pending;

byte  linked;                   /* the generation that is on the postponed list, 0 for none */

/* The kernel: what the slot's descriptor is registered as, and what lies on the ready list. */
byte  k_gen, k_ready;

/* Ghosts: they watch, and bound the run; nothing of the library decides by them. */
byte  handle;                   /* the newest handle a user knows */
byte  owed;                     /* directions that arrived and were not followed by the start of a call */
byte  holders;
bool  removed[GENERATIONS + 2];
byte  finalized[GENERATIONS + 2];
byte  agains = AGAINS, removals = REMOVALS;

#ifdef BUG_NO_GENERATION
#define SAME_EVENT(g) true
#else
#define SAME_EVENT(g) (gen == (g))
#endif
#ifdef BUG_REMOVE_NO_GENERATION
#define SAME_HANDLE(g) true
#else
#define SAME_HANDLE(g) (gen == (g))
#endif

/* A call starts: this is the point of a grant, whatever the thread does next. */
inline grant(Mask, From)
{
    assert((From) == gen);              /* never another source's event */
    assert(!removed[gen]);              /* no call starts after removal */
    assert(finalized[gen] == 0);
    assert(holders == 0);               /* never two holders */
    holders++;
    owed = owed & (ALL - (Mask))
}

/* detach: idempotent. Drops what the kernel still has, never what a worker already fetched. */
inline detach(Gen)
{
    if
    :: k_gen == Gen -> k_gen = 0; k_ready = 0
    :: else
    fi
}

/* finish: by whoever brought `running` to 0 in RETIRED. */
inline finish(Gen)
{
    atomic {                            /* the user's finalizer */
        assert(gen == Gen && state == RETIRED && running == 0);
        assert(holders == 0);           /* after the last call */
        assert(k_gen != Gen);           /* the descriptor is ours no more */
        assert(linked == 0);
        finalized[Gen]++;
        assert(finalized[Gen] == 1)     /* exactly once */
    };
    atomic {
        /* One exchange. Waiters sleep on the generation, as a futex does, so none is missed. */
        assert(gen == Gen && state == RETIRED);
        waiter = false;
        gen++;
        state = FREE
    }
}

/* retire_word: the caller becomes one more holder, so that it detaches before anybody finishes. */
inline retire_word()
{
    assert(finalized[gen] == 0);
    removed[gen] = true; owed = 0;
#ifndef BUG_NO_UNLINK
    if
    :: state == POSTPONED -> assert(linked == gen); linked = 0     /* one critical section of the list lock */
    :: else
    fi;
#endif
    state = RETIRED; again = false; pending = 0;
#ifndef BUG_REMOVER_NOT_A_HOLDER
    running++
#else
    running = (running == 0 -> 1 : running)
#endif
}

/* drop: one holder less; `ends` says that it was the last. */
inline drop(Gen)
{
    assert(gen == Gen && running > 0);
    running--;
    ends = (state == RETIRED && running == 0)
}

/* retire and retire_and_wait, from anywhere but the own callback. */
inline remove(Gen, Wait)
{
    atomic {
        stale = false;
        if
#ifdef BUG_REMOVE_TWICE
        :: SAME_HANDLE(Gen) && state != FREE ->
#else
        :: SAME_HANDLE(Gen) && state != FREE && state != RETIRED ->
#endif
            assert(gen == Gen);                  /* never another source than the one meant */
            mine = (state != HELD);
            retire_word()
        :: else -> stale = true
        fi
    };
    if
    :: !stale ->
#ifdef BUG_REMOVER_NOT_A_HOLDER
        if
        :: mine -> atomic { detach(Gen); drop(Gen) }
        :: else -> atomic { detach(Gen) }
        fi;
#else
#ifdef BUG_DROP_BEFORE_DETACH
        atomic { drop(Gen) };
        atomic { detach(Gen) };
#else
        atomic { detach(Gen) };
        atomic { drop(Gen) };
#endif
#endif
#ifdef BUG_REMOVER_ALWAYS_FINISHES
        ends = true;
#endif
        if
        :: ends -> finish(Gen)
        :: else
        fi
    :: else
    fi;
#ifdef BUG_SECOND_WAITER_RETURNS
    if
    :: Wait && !stale && !ends ->
#else
    /* A removal by somebody else is waited for as well: the promise is about the end, not about who began it. */
    if
    :: Wait && !ends ->
#endif
#ifdef BUG_WAITER_LATE
        if
        :: gen == Gen && state == RETIRED -> waiter = true
        :: else
        fi;
        (!waiter)
#else
        atomic {
            if
            :: gen == Gen && state == RETIRED -> waiter = true
            :: else
            fi
        };
        (gen != Gen)
#endif
    :: else
    fi;
    assert(!Wait || finalized[Gen] == 1)         /* it never returns before the end */
}

/* One call after the other, by the thread that took the source to HELD. */
inline hold()
{
    do
    :: true ->
        /* The callback. It may say "again", and may remove its own source first. */
        if
        :: skip
        :: atomic { agains > 0 -> agains--; says_again = true }
        fi;
        if
        :: skip
        :: atomic { removals > 0 -> removals--;
            assert(gen == me);
            if
            :: state == HELD -> mine = true; retire_word()
            :: state == RETIRED                  /* stale */
            fi
           };
           atomic { if :: mine -> detach(me) :: else fi };
           atomic { if :: mine -> mine = false; drop(me) :: else fi }
#ifdef BUG_WAIT_IN_OWN_CALLBACK
           ; (gen != me)
#endif
        fi;
#ifdef BUG_CLEAR_AGAIN_LATE
        /* Looks at the events in one step and clears the flag in another: what came in between is gone. */
        atomic { seen = pending };
#endif
        /* It returned: round again, release, postpone or finalize. */
        atomic {
            assert(gen == me && (state == HELD || state == RETIRED));
            assert(holders == 1);
            holders--;
            if
#ifdef BUG_AGAIN_IGNORES_RETIRED
            :: says_again && round < RERUNS -> pending = mask;
#else
            :: state == HELD && !says_again && again && round < RERUNS ->
#endif
                again = false; round++;
#ifdef BUG_CLEAR_AGAIN_LATE
                mask = seen; pending = 0;
#else
                mask = pending; pending = 0;
#endif
                grant(mask, gen)
#ifdef BUG_RELEASE_IGNORES_AGAIN
            :: state == HELD && !says_again && (!again || round < RERUNS) ->
                again = false; pending = 0;
#else
            :: state == HELD && !says_again && !again ->
#endif
                state = ARMED; running--; break
            :: state == HELD && (says_again || (again && round >= RERUNS)) ->
                if
                :: says_again -> owed = owed | mask;
#ifdef BUG_POSTPONE_FORGETS_EVENTS
                    pending = 0
#else
                    pending = pending | mask     /* nothing of what it was called for is forgotten */
#endif
                :: else
                fi;
                again = false; running--;
                /* HELD -> POSTPONED and the push are one critical section of the list lock. */
                state = POSTPONED;
#ifdef BUG_PUSH_AFTER_POSTPONE
                pushes = true;
#else
                assert(linked == 0);
                linked = me;
#endif
                break
            :: state == RETIRED -> drop(me); break
            fi
        };
        says_again = false
    od;
#ifdef BUG_PUSH_AFTER_POSTPONE
    if
    :: atomic { pushes -> pushes = false; assert(gen == me); assert(linked == 0); linked = me }
    :: !pushes
    fi;
#endif
    if
    :: ends -> finish(me)
    :: else
    fi
}

/* event: what a worker does with one entry of its batch; `me` is set when it became the holder. */
inline event(Gen, Mask)
{
    atomic {
        if
        :: SAME_EVENT(Gen) && state == ARMED ->
            state = HELD; running++; me = gen; mask = Mask;
            grant(mask, Gen)
        :: SAME_EVENT(Gen) && state == HELD ->
#ifdef BUG_TWO_HOLDERS
            me = gen; mask = Mask; grant(mask, Gen)
#else
            again = true;
#ifdef BUG_EVENTS_OVERWRITTEN
            pending = Mask
#else
            pending = pending | Mask
#endif
#endif
        :: SAME_EVENT(Gen) && state == POSTPONED ->
#ifndef BUG_POSTPONED_DROPS_EVENTS
            pending = pending | Mask
#endif
        :: else                                  /* stale: dropped, counted */
        fi;
        Gen = 0; Mask = 0
    }
}

active [2] proctype Worker()
{
    byte g, m, me, mask, round;
    bool says_again, ends, stale, mine, waits, fetched;
#ifdef BUG_CLEAR_AGAIN_LATE
    byte seen;
#endif
#ifdef BUG_PUSH_AFTER_POSTPONE
    bool pushes;
#endif

end:
    do
    :: k_ready != 0 || linked != 0 ->
        if
#ifdef BUG_POSTPONED_LAST
        :: atomic { k_ready != 0 ->
#else
        /* Events and postponed sources take turns: a kernel that is never silent holds nothing up. */
        :: atomic { k_ready != 0 && (!fetched || linked == 0) ->
#endif
            /* fetch: from here the batch is this worker's alone, however long it takes */
            m = k_ready; k_ready = 0; g = k_gen; fetched = true };
            event(g, m)
        :: else ->
            /* pop: off the list and out of POSTPONED in one critical section of the list lock */
            atomic { me = linked; linked = 0; fetched = false
#ifdef BUG_POP_IN_TWO_STEPS
            };
            atomic {
#else
                ;
#endif
                if
                :: me != 0 ->
                    assert(gen == me && state == POSTPONED);
                    state = HELD; running++; mask = pending; pending = 0;
                    grant(mask, gen)
                :: else
                fi
            }
        fi;
        if
        :: me != 0 -> hold()
        :: else
        fi;
        atomic { me = 0; mask = 0; round = 0; says_again = false; ends = false }
#ifndef LIVENESS
    :: atomic { removals > 0 && handle != 0 -> removals--; g = handle };
        /* another source's callback, on this worker */
        if
        :: waits = true
        :: skip
        fi;
        remove(g, waits);
        atomic { g = 0; ends = false; stale = false; mine = false; waits = false }
#endif
    od
}

/* A thread of the user removes, perhaps by a handle that is long stale. */
active proctype Outsider()
{
    byte g;
    bool ends, stale, mine, waits;

end:
    do
    :: atomic { removals > 0 && handle != 0 -> removals--; g = handle };
        if
        :: waits = true
        :: skip
        fi;
        remove(g, waits);
        atomic { g = 0; ends = false; stale = false; mine = false; waits = false }
    :: atomic { removals > 0 -> removals-- }     /* or lets it live */
    od
}

active proctype Adder()
{
    byte g, n;

end:
    do
    :: atomic { n < GENERATIONS && state == FREE -> state = NEW; g = gen; handle = g; n++; owed = 0 };
#ifdef BUG_ARM_AFTER_ADD
        atomic { if :: gen == g && state != RETIRED -> k_gen = g :: else fi };
        atomic { if :: gen == g && state == NEW -> state = ARMED :: else fi }
#else
        /* ARMED before the kernel knows the descriptor: no edge ever finds NEW. */
        atomic { if :: gen == g && state == NEW -> state = ARMED :: else fi };
        /* EPOLL_CTL_ADD under the entry lock, and only when the source was not removed meanwhile. */
        atomic {
            if
#ifdef BUG_ADD_AFTER_REMOVE
            :: true -> k_gen = g
#else
            :: gen == g && state != RETIRED -> k_gen = g
#endif
            :: else
            fi
        }
#endif
    od
}

/* Edges come at any time while something is registered; an edge during ADD is "it was ready already". */
active proctype Kernel()
{
    byte n;

end:
    do
    :: atomic { n < EDGES && k_gen != 0 ->
#ifndef LIVENESS
        n++;
#endif
        if
        :: k_ready = k_ready | IN;
            if :: k_gen == gen && !removed[gen] -> owed = owed | IN :: else fi
#if DIRECTIONS > 1
        :: k_ready = k_ready | OUT;
            if :: k_gen == gen && !removed[gen] -> owed = owed | OUT :: else fi
#endif
        fi
      }
    od
}

#ifdef HANDOFF
/* activate: a thread of the user makes the source run in the next round. */
active proctype Trigger()
{
end:
    atomic { state != FREE && state != NEW ->
        if
        :: state == HELD -> again = true; pending = pending | TRIGGER; owed = owed | TRIGGER
        :: state == POSTPONED -> pending = pending | TRIGGER; owed = owed | TRIGGER
        :: state == ARMED ->             /* under the list lock */
            state = POSTPONED; pending = TRIGGER; owed = owed | TRIGGER;
            assert(linked == 0);
            linked = gen
        :: else                          /* stale */
        fi
    }
}
#endif

#ifndef LIVENESS
/* Everything stands still: nothing may be left over. */
active proctype Silence()
{
    byte g;

    atomic {
        timeout ->
        assert(owed == 0);                       /* no event lost */
        assert(state == FREE || state == ARMED);
        assert(state != FREE || k_gen == 0);     /* no registration without a source */
        assert(linked == 0 && holders == 0);
        g = 1;
        do
        :: g < gen -> assert(finalized[g] == 1); g++
        :: else -> break
        od;
        assert(finalized[gen] == 0)
    }
}
#else
/* An event that arrived is served, or its source is removed; a source that was removed is finalized. */
ltl served { [] ((owed & IN) -> <> !(owed & IN)) }
ltl ended { [] (removed[1] -> <> (finalized[1] == 1)) }
#endif
