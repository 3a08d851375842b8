/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One descriptor number, two files that have it one after the other, sources that are registered under it, two queues.
 * Mirrors lib/source/fd.cc: start_fd, rearm_fd, modify_fd, detach_fd; descriptors.cc (the entry and its lock); and
 * retire, drop, finish, torque_close of source.cc as far as they touch the kernel.
 *
 * Anybody may close the number behind our back, and the kernel gives it away again. What the kernel knows is (queue,
 * number, file); it forgets a registration when the last descriptor of the file is closed, which a duplicate delays.
 * The sources are kernel one-shot, so that each call ends with a re-arm: the hardest case.
 *
 * Always true: the entry is read and written, and registrations are made, changed and deleted, under its lock, and only
 * for the source that it names. A source that the entry names is not finished: its remover clears the entry first.
 *
 * What no library can repair is left out: closing a number twice (behind our back, and by torque_close). Nor can it
 * delete a registration whose number was closed while a duplicate keeps the file: its events are stale by generation.
 */
mtype = { NEW, ARMED, HELD, RETIRED, FREE };

#ifndef EDGES
#define EDGES 1
#endif

/* The kernel. File 0 is none. */
byte number;                    /* the file that the number stands for */
byte copies[3];                 /* descriptors of a file */
byte reg[6];                    /* [queue * 3 + file]: the handle that is registered */
bool on[6];                     /* one-shot: may report */
bool data[3];                   /* the file is readable */

/* The table */
byte entry;
bool lock;

/* The sources: handles 1 and 2. 2 may lie in the slot that 1 had, with the next generation. */
mtype state[3];
byte  running[3], queue[3];
bool  again[3], closes[3];
bool  same_slot;

/* Ghosts */
bool started[3], removed[3], told[3], closing[3];
byte finished[3];
bool removals = true, modifies = true;
bool may_close = true;          /* the right to close file 1's number: one thread's, as in any program that is right */
bool back;                      /* the number was closed, and the same file came back from a duplicate */

#define SLOT(q, f) ((q) * 3 + (f))
#ifdef BUG_ENTRY_WITHOUT_GENERATION
#define OWNS(h) (entry == (h) || (entry != 0 && same_slot))
#else
#define OWNS(h) (entry == (h))
#endif

inline acquire() { atomic { !lock -> lock = true } }
inline release() { lock = false }

inline forget(F)
{
    if
    :: copies[F] == 0 -> reg[SLOT(0, F)] = 0; on[SLOT(0, F)] = false; reg[SLOT(1, F)] = 0; on[SLOT(1, F)] = false
    :: else
    fi
}

/* EPOLL_CTL_MOD, which looks for readiness again; EBADF and ENOENT change nothing. */
inline mod(Q, H)
{
    if
    :: number != 0 && reg[SLOT(Q, number)] != 0 ->
        assert(reg[SLOT(Q, number)] == H);       /* never another source's registration */
        reg[SLOT(Q, number)] = H; on[SLOT(Q, number)] = true
    :: else
    fi
}

/* EPOLL_CTL_DEL */
inline del(Q, H)
{
    if
    :: number != 0 ->
        assert(reg[SLOT(Q, number)] == H || reg[SLOT(Q, number)] == 0);
        reg[SLOT(Q, number)] = 0; on[SLOT(Q, number)] = false
    :: else
    fi
}

/* close(): of the number, whatever it stands for now. */
inline close_number()
{
    assert(number != 0);
    copies[number]--;
    forget(number);
    number = 0
}

/* detach_fd: by removers, who are holders meanwhile. */
inline detach(H)
{
    acquire();
    if
    :: OWNS(H) ->
        entry = 0;
        atomic { del(queue[H], H) }
    :: else
#ifdef BUG_DETACH_WITHOUT_OWNER
        -> atomic { del(queue[H], H) }
#endif
    fi;
    release()
}

/* drop and finish: the last holder of a retired source ends it. The descriptor is closed when all is detached. */
inline drop(H)
{
    atomic {
        running[H]--;
        ends = (state[H] == RETIRED && running[H] == 0)
    };
    if
    :: ends ->
        atomic {
            assert(entry != H);                  /* detached before it is finished */
            if
            :: closing[H] ->                     /* nothing is left behind, not even of a duplicated file */
                assert(reg[SLOT(0, 1)] != H && reg[SLOT(1, 1)] != H)
            :: else
            fi;
            if :: closes[H] -> close_number() :: else fi;
            finished[H]++;
            assert(finished[H] == 1);
            state[H] = FREE
        };
        ends = false
    :: else
    fi
}

inline retire(H, Close)
{
    atomic {
        retired = false;
        if
        :: state[H] == ARMED || state[H] == HELD || state[H] == NEW ->
            state[H] = RETIRED; running[H]++; removed[H] = true; closes[H] = Close; closing[H] = Close; retired = true
        :: else                                  /* stale */
        fi
    };
    if
    :: retired ->
#ifdef BUG_CLOSE_BEFORE_DETACH
        if
        :: atomic { closes[H] && number != 0 && running[H] == 1 -> closes[H] = false; close_number() }
        :: else
        fi;
#endif
        detach(H);
        drop(H);
        retired = false
    :: else
    fi
}

/* start_fd: `H` is NEW; its own choice of a queue is `Q`. */
inline start(H, Q)
{
    acquire();
    atomic {
        /* Of the number's owner, alive or about to go: the queue it is registered in tells which file that was. */
#ifdef BUG_FORGETS_RETIRED_OWNER
        before = ((entry != 0 && state[entry] != RETIRED) -> entry : 0);
#else
        before = entry;
#endif
        queue[H] = (before != 0 -> queue[before] : Q);
#ifdef BUG_ADD_IN_OWN_QUEUE
        queue[H] = Q;
#endif
        q = queue[H]
    };
#ifdef BUG_ARM_OUTSIDE_LOCK
    release();
    atomic { armed = (state[H] == NEW); if :: armed -> state[H] = ARMED :: else fi };
    acquire();
#else
    atomic { armed = (state[H] == NEW); if :: armed -> state[H] = ARMED :: else fi };
#endif
    if
    :: !armed -> before = 0
    :: armed ->
        atomic {                                 /* EPOLL_CTL_ADD */
            if
            :: number == 0 ->                    /* EBADF */
                if :: state[H] == ARMED -> state[H] = NEW :: else fi;
                before = 0
            :: number != 0 && reg[SLOT(q, number)] == 0 ->
                /* Only where it is registered no more, it may be registered anew. */
                assert(reg[SLOT(1 - q, number)] == 0 || back);
                reg[SLOT(q, number)] = H; on[SLOT(q, number)] = true; started[H] = true
            :: number != 0 && reg[SLOT(q, number)] != 0 && before != 0 && state[before] != RETIRED ->
                /* EEXIST, and it lives */
                if :: state[H] == ARMED -> state[H] = NEW :: else fi;
                before = 0
            :: else ->                           /* EEXIST, of one that has ended: EPOLL_CTL_MOD takes it over */
                assert(reg[SLOT(q, number)] != H);
                reg[SLOT(q, number)] = H; on[SLOT(q, number)] = true; started[H] = true
            fi
        };
        if
        :: started[H] -> entry = H
        :: else
        fi
    fi;
    release();
#ifndef BUG_REPLACED_LIVES_ON
    if
    :: started[H] && before != 0 -> retire(before, false)
    :: else
    fi;
#endif
    atomic { told[H] = true; before = 0; q = 0; armed = false }      /* the call returns */
}

proctype Worker()
{
    byte h, q;
    bool ends, retired, may;

end:
    do
    :: atomic {                                  /* epoll_wait: one event, and one-shot disarms */
        if
        :: on[SLOT(0, 1)] && data[1] -> on[SLOT(0, 1)] = false; h = reg[SLOT(0, 1)]
        :: on[SLOT(0, 2)] && data[2] -> on[SLOT(0, 2)] = false; h = reg[SLOT(0, 2)]
        :: on[SLOT(1, 1)] && data[1] -> on[SLOT(1, 1)] = false; h = reg[SLOT(1, 1)]
        :: on[SLOT(1, 2)] && data[2] -> on[SLOT(1, 2)] = false; h = reg[SLOT(1, 2)]
        fi
       };
        atomic {                                 /* deliver */
            if
            :: state[h] == ARMED ->
                state[h] = HELD; running[h]++;
                assert(!removed[h]);
                /* Once the new source's start has returned, no call of the old one begins. */
                assert(!(h == 1 && started[2] && told[2]))
            :: state[h] == HELD -> again[h] = true; h = 0
            :: else -> h = 0                     /* stale */
            fi
        };
        if
        :: h != 0 ->
            do
            :: true ->
                /* The callback reads through the number, and drains what it finds. */
                atomic { if :: number != 0 -> data[number] = false :: else fi };
                if
                :: skip
                :: atomic { removals -> removals = false;
                    may = (h == 1 && may_close);
                    if :: may -> may_close = false :: else fi
                   };
                   retire(h, may)
                fi;
                atomic {                         /* settle */
                    q = queue[h];
                    if
                    :: state[h] == HELD && again[h] -> again[h] = false
                    :: state[h] == HELD && !again[h] -> state[h] = ARMED; running[h]--; break
                    :: state[h] == RETIRED -> goto gone
                    fi
                }
            od;
            /* rearm_fd: not ours any more; only the handle, the queue and the number were kept. */
            acquire();
            if
#ifdef BUG_REARM_WITHOUT_OWNER
            :: true ->
#else
            :: OWNS(h) && state[h] != RETIRED ->
#endif
                atomic { mod(q, h) }
            :: else                              /* another owner, or about to go */
            fi;
            release();
            goto done;
gone:
            drop(h);
done:
            skip
        :: else
        fi;
        atomic { h = 0; q = 0; may = false }
    od
}

/* A thread that closes behind our back, opens another file, and registers that, or registers what is there. */
proctype User()
{
    byte before, q, d;
    bool ends, retired, armed;

    told[1];
end:
    if
    :: atomic { may_close && number != 0 -> may_close = false; close_number() }    /* behind our back */
    :: atomic { may_close -> may_close = false }                                    /* as it is */
    :: atomic { closing[1] && finished[1] }                                          /* torque_close has done it */
    fi;
    if
    :: atomic { number == 0 -> number = 2; copies[2]++; data[2] = true }
    :: atomic { number == 0 && copies[1] != 0 -> number = 1; copies[1]++; back = true }     /* dup2 of a duplicate */
    :: number != 0
    fi;
    atomic { state[2] == FREE && finished[2] == 0 -> state[2] = NEW; same_slot = (state[1] == FREE && finished[1] == 1) };
    start(2, (same_slot -> 0 : 1))       /* slots belong to domains: the same slot, the same queue */
}

/* Registers the first source, has it removed or changed at some time; torque_close unless the number was closed. */
proctype First()
{
    byte before, q;
    bool ends, retired, armed, may;

    if
    :: skip
    :: copies[1]++                               /* somebody keeps a duplicate */
    fi;
    start(1, 0);
    if
    :: atomic { removals -> removals = false };
        atomic { if :: may_close -> may_close = false; may = true :: skip fi };
        retire(1, may)
    :: atomic { modifies -> modifies = false };
        acquire();                               /* modify_fd */
        if
        :: OWNS(1) -> atomic { mod(queue[1], 1) }
        :: else
        fi;
        release()
    :: skip
    fi
}

/* Removes the first source before, while or after it is started: whoever made it may have told the handle already. */
proctype Outsider()
{
    bool ends, retired;

end:
    atomic { removals -> removals = false };
    retire(1, false)
}

proctype Data()
{
    byte n;

end:
    do
    :: atomic { n < EDGES && copies[1] > 0 -> n++; data[1] = true }
    :: atomic { n < EDGES && copies[2] > 0 -> n++; data[2] = true }
    od
}

proctype Silence()
{
    byte h;

    atomic {
        timeout ->
        assert(!lock);
        h = 1;
        do
        :: h <= 2 ->
            assert(running[h] == 0);
            assert(finished[h] == (removed[h] -> 1 : 0));
            if
            :: started[h] && !removed[h] && entry == h && number != 0 && reg[SLOT(queue[h], number)] != 0 ->
                /* It lives and its file is there: it is registered, ready to report, and owes nothing. */
                assert(state[h] == ARMED);
                assert(back || (reg[SLOT(queue[h], number)] == h && on[SLOT(queue[h], number)] && !data[number]))
            :: else
            fi;
            h++
        :: else -> break
        od;
        /* The second source lost nothing to the first one's end. */
        assert(!(started[2] && !removed[2]) || (entry == 2 && number != 0 && reg[SLOT(queue[2], number)] == 2));
        /* Under this number, nothing is registered for a source that has ended. */
        assert(back || number == 0 || reg[SLOT(0, number)] == 0 || !removed[reg[SLOT(0, number)]]);
        assert(back || number == 0 || reg[SLOT(1, number)] == 0 || !removed[reg[SLOT(1, number)]])
    }
}

init
{
    atomic {
        number = 1; copies[1] = 1; data[1] = true;
        state[1] = NEW; state[2] = FREE;
        run Worker(); run Worker(); run User(); run First(); run Outsider(); run Data(); run Silence()
    }
}
