/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The life of a strand's object. Mirrors lib/source/strand.cc: ref, unref, free_strand, destroy, post, serve_queue, close;
 * and end_sources() in lib/api/context.cc.
 *
 * References: the caller's, one for each function that is queued, one for a source, and the runner's. When only the
 * runner's is left the runner's source is retired; who gives the runner up last, its remover or the worker that runs it,
 * finishes it, and with that gives up the runner's reference. The context's end retires the runner whatever refers to the
 * strand, and the caller may give up his reference at any time: also after the context has gone.
 */
#define POSTS 2

byte refs = 3;                   /* the caller's, the source's, the runner's */
byte destroyed;
bool context_gone, knows_context = true;
byte queued, ran;
bool closed;
/* The runner's source */
byte running;                    /* its holders */
bool retired, finished, scheduled;
bool caller_gone, source_gone, workers_gone;

inline look() { assert(!destroyed) }

inline destroy() { assert(!destroyed); destroyed++ }

inline free_strand()
{
    atomic { look(); knows_context = false };
    atomic {
        refs--;
        if :: refs == 0 -> destroy() :: else fi
    }
}

inline drop()
{
    atomic {
        running--;
        ends = (retired && running == 0 && !finished);
        if :: ends -> finished = true :: else fi
    };
    if
    :: ends ->
#ifndef BUG_RUNNER_WITHOUT_REFERENCE
        free_strand()
#else
        skip
#endif
    :: else
    fi
}

inline retire_runner()
{
    atomic {
        first = !retired;
        if :: first -> retired = true; running++ :: else fi
    };
    if :: first -> drop() :: else fi
}

inline unref()
{
    atomic {
        look();
        before = refs;
        refs--;
#ifdef BUG_RUNNER_WITHOUT_REFERENCE
        if :: before == 2 -> destroy() :: else fi;
#else
        if :: before == 1 -> destroy() :: else fi;
#endif
    };
    if
    :: before == 2 -> retire_runner()
    :: else
    fi
}

active proctype Caller()
{
    byte n, before;
    bool ends, first;

    do
    :: n < POSTS ->
        n++;
        atomic {                                 /* post */
            look();
#ifdef BUG_POSTS_TO_THE_GONE
            assert(!context_gone);
#else
            if :: knows_context -> assert(!context_gone) :: else fi;
#endif
            if
            :: !closed -> queued++; refs++; scheduled = true
            :: else
            fi
        }
    :: break
    od;
    unref();
    caller_gone = true
}

/* Its last source is removed by another thread. */
active proctype Remover()
{
    byte before;
    bool ends, first;

    unref();
    source_gone = true
}

active proctype Worker()
{
    byte before, n;
    bool ends, first, got;

    do
    :: atomic { scheduled && !retired && !context_gone && !closed -> running++; scheduled = false };
        n = 0;
        do
        :: n < 2 ->
            n++;
            atomic { look(); got = queued > 0; if :: got -> queued--; ran++ :: else fi };
            if
            :: got -> unref()
            :: else -> break
            fi;
            look()                               /* goes on with the queue */
        :: else -> atomic { look(); if :: queued > 0 -> scheduled = true :: else fi }; break
        od;
        drop()
    :: closed -> break                           /* the workers are joined before anything else of the end */
    :: caller_gone && source_gone && queued == 0 -> break
    od;
    workers_gone = true
}

/* torque_stop(): closes each strand that it can hold, ends the sources, and frees the context when no slot is left. */
active proctype Ender()
{
    byte before;
    bool ends, first, got, held;

    closed = true;
    (workers_gone);
    atomic { held = !retired; if :: held -> running++ :: else fi };
    if
    :: held ->
        do
        :: atomic { look(); got = queued > 0; if :: got -> queued--; ran++ :: else fi };
            if :: got -> unref() :: else -> break fi
        od;
        drop()
    :: else
    fi;
    retire_runner();
    (finished && source_gone);                   /* every source has been finished */
    context_gone = true
}

active proctype Silence()
{
    atomic {
        timeout ->
        assert(context_gone && caller_gone);
        assert(destroyed == 1 && refs == 0);     /* freed, once */
        assert(queued == 0)
    }
}
