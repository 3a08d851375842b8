/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A source between its making and its start: threads that set something of it, start it (which may fail), set it as a
 * timer, and remove it; then the slot's next source. Mirrors lib/source/source.cc: begin_setup, end_setup, arm_word,
 * disarm_word, arm_when_set_up, hold, let_go, retire_word; and Setup in lib/api/handle.hh.
 *
 * Each step is one change of the word. inside: threads that touch what is theirs alone: strand, place, finalizer, a
 * stream's flags.
 */
#ifndef SETTERS
#define SETTERS 2
#endif
#ifndef STARTERS
#define STARTERS 2
#endif
#define GENERATIONS 2

mtype = { FREE, NEW, ARMED, RETIRED };

mtype state = NEW;
bool setup;                      /* SETUP */
byte running;
byte gen = 1;

byte inside;
byte started;                    /* of this generation: starts, and settings as a timer, that answered 0 */

#define LIVE (state == NEW || state == ARMED)

inline finish()
{
    assert(inside == 0);
    setup = false;
    started = 0;
    if
    :: gen < GENERATIONS -> gen++; state = NEW
    :: else -> gen++; state = FREE
    fi
}

inline hold(G, HELD) { atomic { if :: gen == G && LIVE -> running++; HELD = true :: else -> HELD = false fi } }

inline let_go()
{
    atomic {
        running--;
        if :: state == RETIRED && running == 0 -> finish() :: else fi
    }
}

/* Waits for who has it; fails once it has started or ended. */
inline begin_setup(G, MINE)
{
    atomic {
#ifdef BUG_DOES_NOT_WAIT
        if
        :: gen == G && state == NEW -> setup = true; MINE = true
        :: else -> MINE = false
        fi
#else
        if
        :: gen == G && state == NEW && !setup -> setup = true; MINE = true
        :: !(gen == G && state == NEW) -> MINE = false
        fi                                   /* else it blocks: it yields, and looks again */
#endif
    }
}

inline end_setup(G) { atomic { if :: gen == G && state == NEW && setup -> setup = false :: else fi } }

inline touch() { inside++; assert(inside == 1); inside-- }

active [SETTERS] proctype Setter()
{
    byte g;
    bool held, mine;
    g = gen;
#ifdef BUG_SETS_WITHOUT_HOLD
    held = true;
#else
    hold(g, held);
#endif
    if
    :: held ->
        begin_setup(g, mine);
        if
        :: mine ->
            /* It may end meanwhile, but is not finished, and nobody else begins. */
            assert(started == 0 || state == RETIRED || gen != g);
#ifdef BUG_SETS_WITHOUT_HOLD
            assert(gen == g);
#endif
            touch();
            end_setup(g)
        :: else
        fi;
#ifndef BUG_SETS_WITHOUT_HOLD
        let_go()
#endif
    :: else
    fi
}

active [STARTERS] proctype Starter()
{
    byte g;
    bool held, mine, armed;
    g = gen;
    hold(g, held);
    if
    :: held ->
        begin_setup(g, mine);
        if
        :: mine ->
            touch();
            /* arm_word */
            atomic {
                if
                :: gen == g && state == NEW -> state = ARMED; armed = true;
#ifndef BUG_ARMED_KEEPS_THE_MARK
                    setup = false
#endif
                :: else
                fi
            };
            if
            :: armed ->
                if
                :: atomic {
                       started++;
                       assert(started == 1 || state == RETIRED);
                       assert(state != ARMED || !setup)         /* the bit is AGAIN now: an event that never came */
                   }
                :: /* the kernel refuses it: disarm_word, and what was touched is as before */
                   atomic {
                       if
                       :: gen == g && state == ARMED -> state = NEW;
#ifndef BUG_DISARMED_IS_ANYBODYS
                           setup = true
#endif
                       :: else
                       fi
                   };
                   if
                   :: state == NEW -> touch()
                   :: else
                   fi
                fi
            :: else
            fi;
            end_setup(g)
        :: else
        fi;
        let_go()
    :: else
    fi
}

/* torque_timer_set(): holds nothing, and touches what belongs to the timer lock alone. */
active proctype Timer()
{
    byte g;
    g = gen;
    atomic {
        if
#ifdef BUG_TIMER_DOES_NOT_WAIT
        :: gen == g && state == NEW ->
#else
        :: gen == g && state == NEW && !setup ->
#endif
            assert(inside == 0);
            state = ARMED;
            started++
        :: !(gen == g && state == NEW)
        fi
    }
}

active proctype Remover()
{
    byte g;
    bool mine;
    g = gen;
    atomic {
        if
        :: gen == g && LIVE -> state = RETIRED; setup = false; running++; mine = true
        :: else
        fi
    };
    if
    :: mine -> let_go()
    :: else
    fi
}
