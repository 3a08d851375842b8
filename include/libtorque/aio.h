/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef LIBTORQUE_AIO_H
#define LIBTORQUE_AIO_H

#include <libtorque/config.h>
#include <libtorque/offload.h>
#include <stddef.h>

TORQUE_BEGIN_DECLS

struct iovec;

/* Regular files and block devices, read and written without holding a worker: an operation is a job (see
 * <libtorque/offload.h>), told once as an event of the context.
 *
 * Buffers, and arrays of them, belong to the caller, who leaves them alone until the operation is told; so does the
 * descriptor. Operations on one file may be done in any order and at the same time: what must come after another is
 * started when that was told.
 *
 * torque_stop() cancels what has not begun and waits for the rest; either is told before it returns. */

/* Who does them. Decided when the context is made. */
enum {
  TORQUE_AIO_THREADS = 0, /* the default: helper threads; io_uring is not touched */
  TORQUE_AIO_AUTO = 1,    /* io_uring where the system lets us, else helper threads. With io_uring, blocking calls of the
                           * program's in callbacks may end with EINTR (recv() with a timeout, poll(), nanosleep()) */
  TORQUE_AIO_URING = 2    /* io_uring, or making the context answers why not */
};
TORQUE_API torque_err torque_config_set_aio(struct torque_config *config, uint32_t backend);

/* TORQUE_AIO_THREADS or TORQUE_AIO_URING. */
TORQUE_API uint32_t torque_aio_backend(const struct torque_ctx *ctx);

/* Called exactly once for each operation that was started. err: 0, and result is the number of bytes (fewer than asked
 * for is no error, 0 is the end of the file), 0 for the syncs; or TORQUE_ERR_SYSCALL + errno; ECANCELED: it was not
 * done. Thread: as any callback; in torque_stop(), the one that stops. */
typedef void torque_aio_fn(torque_source op, torque_err err, int64_t result, void *arg);

/* offset: in bytes, from the file's beginning; the file's own position is neither used nor moved. fn runs on the domain
 * of the caller, if that is a callback of ctx. *ret_op (may be null): for torque_aio_cancel(); set before fn can run.
 * Thread: any. Errors: INVAL; RESOURCE; STOPPED; FORKED; SYSCALL + EBADF, ESPIPE (a pipe, a socket, a terminal), EAGAIN
 *         (no helper thread could be made). */
TORQUE_API torque_err torque_aio_read(struct torque_ctx *ctx, int32_t fd, void *buffer, size_t size, uint64_t offset,
                                      torque_aio_fn *fn, void *arg, torque_source *ret_op);
TORQUE_API torque_err torque_aio_write(struct torque_ctx *ctx, int32_t fd, const void *buffer, size_t size,
                                       uint64_t offset, torque_aio_fn *fn, void *arg, torque_source *ret_op);

/* count buffers, at most 1024. */
TORQUE_API torque_err torque_aio_readv(struct torque_ctx *ctx, int32_t fd, const struct iovec *buffers, uint32_t count,
                                       uint64_t offset, torque_aio_fn *fn, void *arg, torque_source *ret_op);
TORQUE_API torque_err torque_aio_writev(struct torque_ctx *ctx, int32_t fd, const struct iovec *buffers, uint32_t count,
                                        uint64_t offset, torque_aio_fn *fn, void *arg, torque_source *ret_op);

/* fsync(2), fdatasync(2): of what was told as written before. */
TORQUE_API torque_err torque_aio_fsync(struct torque_ctx *ctx, int32_t fd, torque_aio_fn *fn, void *arg,
                                       torque_source *ret_op);
TORQUE_API torque_err torque_aio_fdatasync(struct torque_ctx *ctx, int32_t fd, torque_aio_fn *fn, void *arg,
                                           torque_source *ret_op);

/* Any of them, not started: for torque_source_set_strand() and its kin, then torque_source_start().
 * buffer, size: with READV and WRITEV the array and its length; unused by the syncs, as is offset. */
enum {
  TORQUE_AIO_READ = 0,
  TORQUE_AIO_WRITE = 1,
  TORQUE_AIO_READV = 2,
  TORQUE_AIO_WRITEV = 3,
  TORQUE_AIO_FSYNC = 4,
  TORQUE_AIO_FDATASYNC = 5
};
TORQUE_API torque_err torque_aio_new(struct torque_ctx *ctx, uint32_t operation, int32_t fd, void *buffer, size_t size,
                                     uint64_t offset, torque_aio_fn *fn, void *arg,
                                     torque_source *ret_op) TORQUE_CHECKED;

/* Cancel an operation. 0: it is not begun, and fn is told so, as an event. STATE: it is under way, or over; fn is told
 * its result. STALE: fn was called. KIND: no file operation. FORKED. */
TORQUE_API torque_err torque_aio_cancel(torque_source op);

TORQUE_END_DECLS

#endif
