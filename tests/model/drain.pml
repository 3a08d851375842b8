/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A context's drain: who finds that no stream is left. Mirrors Context::stream_begins, stream_is_over, any_stream and
 * look_whether_drained in lib/source/context.hh and .cc; torque_ctx_drain() and on_limit() in lib/api/drain.cc;
 * start_stream() in lib/stream/stream.cc; run_acceptor() in lib/source/listener.cc.
 *
 * Streams begin and end in two domains, each of which counts by itself, so that a look adds up numbers that change. An
 * acceptor counts while it takes a connection, which may become a stream in the other domain.
 */
#define DOMAINS 2

mtype = { none, lets_end, aborts };

byte begun[DOMAINS], over[DOMAINS];      /* Domain::streams_begun, streams_over */
mtype drain = none;
bool told;                               /* drain_source was activated: the drain is over */

byte alive;                              /* streams, and connections that were taken and are none yet */
bool was_quiet;                          /* none was, at some moment since the look began */
byte looking;                            /* looks under way, as one more may begin before another is over */

inline one_more() { alive++ }
inline one_fewer() { alive--; was_quiet = was_quiet || alive == 0 }

/* any_stream(), and what follows. The looks are told apart by nobody: was_quiet is that of the last one that began. */
inline look(O, B)
{
    atomic { looking == 0 -> looking = 1; was_quiet = (alive == 0) };
#ifdef BUG_BEGUN_FIRST
    B = begun[0]; B = B + begun[1];
    O = over[0]; O = O + over[1];
#else
    O = over[0]; O = O + over[1];
    B = begun[0]; B = B + begun[1];
#endif
    atomic {
        looking = 0;
        if :: B == O -> assert(was_quiet); told = true :: else fi
    };
    O = 0; B = 0
}

inline is_over(D, O, B)
{
#ifdef BUG_LOOKS_BEFORE_IT_COUNTS
    if :: drain != none -> look(O, B) :: else fi;
    over[D]++
#else
    over[D]++;
    if :: drain != none -> look(O, B) :: else fi
#endif
}

/* A stream of the program's, from start to end, in one domain. */
proctype Stream(byte d)
{
    byte o, b;
    begun[d]++;
    if
    :: drain != aborts -> atomic { one_more() }; atomic { one_fewer() }
    :: else          /* STOPPED */
    fi;
    is_over(d, o, b)
}

/* Takes a connection, and makes a stream of it in the other domain. */
proctype Acceptor(byte d)
{
    byte o, b;
#ifndef BUG_ACCEPTOR_IS_NOT_COUNTED
    begun[d]++;
#endif
    if
    :: drain == none ->      /* the listener is not paused: accept() */
        atomic { one_more() };
        begun[1 - d]++;
        atomic { one_fewer() };
        is_over(1 - d, o, b)
    :: else
    fi;
#ifndef BUG_ACCEPTOR_IS_NOT_COUNTED
    is_over(d, o, b)
#endif
}

proctype Drain()
{
    byte o, b;
    drain = lets_end;
#ifndef BUG_DOES_NOT_LOOK
    look(o, b);
#endif
    if
    :: drain = aborts; look(o, b)
    :: true                      /* it has no limit */
    fi
}

/* When nobody can go on the drain is over. */
active proctype Rest()
{
    timeout -> assert(told && alive == 0)
}

init { atomic { run Stream(0); run Stream(1); run Acceptor(1); run Drain() } }
