/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A listener's acceptors, its pause, and its maximum of connections. Mirrors lib/kinds/listener.cc: take_connection,
 * enter, leave, wake_starved, set_most_guests, pause_listener, resume_listener, start_held.
 *
 * Connections wait in one socket that both acceptors share; the kernel tells an edge for each that comes, to one of them.
 * An event that comes while an acceptor's callback runs has it called once more (the source's word). A callback goes on
 * until it finds nothing.
 */
#define PARTS 2
#ifndef CONNECTIONS
#define CONNECTIONS 3
#endif

byte waiting, to_come = CONNECTIONS;
bool event[PARTS];               /* the acceptor is to be called (once more) */
bool taking[PARTS], starved[PARTS], paused;
bool open;                       /* all acceptors have started, before which none takes anything */
byte number, most = 1;           /* Guests::word: read and changed together. most 0: any number */
byte live;                       /* connections that the program has */
bool answered;                   /* the pause was answered, and nobody has resumed since */

#define FULL (most > 0 && number >= most)

inline wake_starved()
{
    if :: atomic { starved[0] -> starved[0] = false; event[0] = true } :: !starved[0] fi;
    if :: atomic { starved[1] -> starved[1] = false; event[1] = true } :: !starved[1] fi
}

active proctype Network()
{
    do
    :: atomic { to_come > 0 -> to_come--; waiting++; event[0] = true }
    :: atomic { to_come > 0 -> to_come--; waiting++; event[1] = true }
    :: to_come == 0 -> break
    od
}

inline enter(ME, ENTERED)
{
#ifdef BUG_LETS_IN_WHERE_IT_IS_FULL
    atomic { number++; ENTERED = true };
#else
    atomic { if :: !FULL -> number++; ENTERED = true :: else -> ENTERED = false fi };
#endif
    if
    :: !ENTERED ->
        starved[ME] = true;
#ifndef BUG_STARVED_DOES_NOT_LOOK_AGAIN
        atomic { if :: !FULL -> number++; ENTERED = true :: else fi }
#endif
    :: else
    fi
}

proctype Acceptor(byte me)
{
    bool entered, found;

end:
    do
    :: atomic { event[me] -> event[me] = false };
        do
        :: true ->
            found = false;
            enter(me, entered);
            if
            :: !entered -> break
            :: else
            fi;
#ifndef BUG_SAYS_NOTHING
            taking[me] = true;
#endif
            if
            :: open && !paused ->
                atomic { if :: waiting > 0 -> waiting--; live++; found = true; assert(!answered); assert(live <= most) :: else fi }
            :: !open || paused
            fi;
            taking[me] = false;
            if
            :: !found ->
                number--;
#ifndef BUG_GIVES_BACK_IN_SILENCE
                wake_starved();
#endif
                break
            :: else
            fi
        od
    od
}

/* Some end, some stay. */
active proctype Connections()
{
end:
    do
    :: live > 0 -> break
    :: atomic { live > 0 -> live-- };
#ifdef BUG_WAKES_BEFORE_IT_LEAVES
        wake_starved();
        number--
#else
        number--;
        wake_starved()
#endif
    od
}

active proctype Program()
{
    open = true;
#ifndef BUG_OPENS_IN_SILENCE
    event[0] = true;
    event[1] = true;
#endif
    if
    :: goto raise                /* it is never paused */
    :: true
    fi;
    paused = true;
    !taking[0];                  /* waits */
    !taking[1];
    answered = true;
    answered = false;
    paused = false;
#ifndef BUG_RESUMES_IN_SILENCE
    event[0] = true;
    event[1] = true;
#endif
raise:
    if
    :: most = 2;
#ifndef BUG_RAISES_IN_SILENCE
       wake_starved()
#endif
    :: true
    fi
}

/* When nobody can go on no connection waits that there is a place for, and each has been counted out. */
active proctype Rest()
{
    timeout -> assert((waiting == 0 || FULL) && number == live)
}

init { atomic { run Acceptor(0); run Acceptor(1) } }
