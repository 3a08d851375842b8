/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A context's drain: who finds that no stream is left. Mirrors Context::stream_begins, stream_is_over, any_stream and
 * look_whether_drained in lib/source/context.hh and .cc; torque_ctx_drain() and on_limit() in lib/api/drain.cc;
 * start_stream() and end_stream() in lib/stream/stream.cc; run_acceptor() in lib/kinds/listener.cc.
 *
 * Streams begin and end in two domains, each of which counts by itself, so that a look adds up numbers that change. An
 * acceptor counts while it takes a connection, which may become a stream in the other domain. At the limit each stream is
 * asked to end: how many did not by themselves is known when the program is told. (LIMIT: that, and no acceptor.)
 */
#define DOMAINS 2
#define LOOKERS 4    /* two streams, an acceptor, the drain */
#define LOOKS 1
#define WAS_QUIET 2

mtype = { none, lets_end, aborts };

byte begun[DOMAINS], over[DOMAINS];      /* Domain::streams_begun, streams_over */
mtype drain = none;
bool told;                               /* drain_source was activated: the drain is over */
byte drain_aborted;

byte alive;                              /* streams, and connections that were taken and are none yet */
byte looks[LOOKERS];                     /* that one's look began; since then there was a moment when none was alive */
bool started[DOMAINS], asked[DOMAINS];   /* of each stream; kAskAbort */
byte resets;                             /* streams that did not end by themselves, and are counted as over */

inline one_more() { alive++ }
inline one_fewer() {
    alive--;
    if
    :: alive == 0 ->
        looks[0] = (looks[0] -> WAS_QUIET : 0); looks[1] = (looks[1] -> WAS_QUIET : 0);
        looks[2] = (looks[2] -> WAS_QUIET : 0); looks[3] = (looks[3] -> WAS_QUIET : 0)
    :: else
    fi
}

/* any_stream(), and what follows. */
#ifdef BUG_BEGUN_FIRST
#define FIRST begun
#define LAST over
#else
#define FIRST over
#define LAST begun
#endif
inline look(ME, N, KNOWN)
{
    atomic { looks[ME] = (alive == 0 -> WAS_QUIET : LOOKS); KNOWN = resets; N = FIRST[0] };
    N = N + FIRST[1];
    N = N - LAST[0];
    atomic {
        if
        :: N == LAST[1] ->
            assert(looks[ME] == WAS_QUIET);
            if :: !told -> told = true; assert(drain_aborted >= KNOWN) :: told fi
        :: else
        fi;
        looks[ME] = 0; N = 0; KNOWN = 0
    }
}

inline counts_as_over(D, RESET) { atomic { over[D]++; if :: RESET -> resets++ :: else fi } }

inline is_over(ME, D, RESET, N, KNOWN)
{
#ifdef BUG_LOOKS_BEFORE_IT_COUNTS
    if :: drain != none -> look(ME, N, KNOWN) :: else fi;
    counts_as_over(D, RESET)
#elif defined(BUG_COUNTS_WHO_IS_ASKED)
    counts_as_over(D, RESET);
    if :: drain != none -> look(ME, N, KNOWN) :: else fi
#elif defined(BUG_COUNTS_WHEN_IT_IS_OVER)
    counts_as_over(D, RESET);
    atomic { if :: RESET -> drain_aborted++ :: else fi };
    if :: drain != none -> look(ME, N, KNOWN) :: else fi
#else
    atomic { if :: RESET -> drain_aborted++ :: else fi };
    counts_as_over(D, RESET);
    if :: drain != none -> look(ME, N, KNOWN) :: else fi
#endif
}

/* A stream of the program's, from start to end, in one domain. */
proctype Stream(byte d)
{
    short n;
    byte known;
    bool stays, reset;           /* until it is asked to end; it was */
    begun[d]++;
    if
    :: drain != aborts ->
        atomic { one_more(); started[d] = true };
#ifndef BUG_LATE_START_GOES_ON
        if :: drain == aborts -> asked[d] = true :: else fi;
#endif
#ifdef LIMIT
        if :: stays = true :: true fi;
#endif
end:    atomic { if :: !stays :: asked[d] -> reset = true fi; one_fewer(); started[d] = false }
    :: else          /* STOPPED */
    fi;
    is_over(d, d, reset, n, known)
}

/* Takes a connection, and makes a stream of it in the other domain. */
proctype Acceptor(byte d)
{
    short n;
    byte known;
#ifndef BUG_ACCEPTOR_IS_NOT_COUNTED
    begun[d]++;
#endif
    if
#ifdef BUG_ACCEPTOR_DOES_NOT_LOOK
    :: true ->               /* until the drain comes to its listener */
#else
    :: drain == none ->
#endif
        atomic { assert(!told); one_more() };      /* accept() */
        begun[1 - d]++;
        atomic { one_fewer() };
        is_over(2, 1 - d, false, n, known)
    :: else
    fi;
#ifndef BUG_ACCEPTOR_IS_NOT_COUNTED
    is_over(2, d, false, n, known)
#endif
}

inline ask_to_end(I, ASKS)
{
    atomic { if :: started[I] -> asked[I] = true; ASKS++ :: !started[I] fi }
}

proctype Drain()
{
    short n;
    byte known, asks;
    drain = lets_end;
#ifndef BUG_DOES_NOT_LOOK
    look(LOOKERS - 1, n, known);
#endif
#ifdef LIMIT
    if
    :: drain = aborts;
       ask_to_end(0, asks);
       ask_to_end(1, asks);
#ifdef BUG_COUNTS_WHO_IS_ASKED
       drain_aborted = drain_aborted + asks;
#endif
       look(LOOKERS - 1, n, known)
    :: true                      /* it has no limit */
    fi
#endif
}

/* When nobody can go on the drain is over; without a limit, unless one stays. */
active proctype Rest()
{
    timeout -> assert(told || (alive > 0 && drain == lets_end));
    assert(drain == lets_end || (alive == 0 && drain_aborted == resets))
}

init {
    atomic {
        run Stream(0);
        run Stream(1);
#ifndef LIMIT
        run Acceptor(1);
#endif
        run Drain()
    }
}
