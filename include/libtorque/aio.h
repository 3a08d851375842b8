/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef LIBTORQUE_AIO_H
#define LIBTORQUE_AIO_H

#include <libtorque/config.h>
#include <libtorque/offload.h>
#include <stddef.h>

TORQUE_BEGIN_DECLS

struct iovec;

/* Operations on regular files and block devices that do not block a worker. An operation is a job (offload.h), and its
 * end is reported once, as an event of the context.
 *
 * Buffers, and arrays of buffers, belong to the caller. The caller must not change or free them until the operation is
 * reported, and must keep the descriptor open until then. Operations run in any order and in parallel; if one must
 * follow another, start it when the other was reported.
 *
 * torque_stop() cancels operations that have not started and waits for the others. All are reported before it returns.
 */

/* The back end, for the whole context. */
enum {
  TORQUE_AIO_THREADS = 0, /* the default: helper threads; the library makes no io_uring system call */
  TORQUE_AIO_AUTO = 1,    /* io_uring if the system allows it, helper threads otherwise. With io_uring, blocking
                           * calls in callbacks (recv() with a timeout, poll(), nanosleep()) may fail with EINTR;
                           * repeat them then */
  TORQUE_AIO_URING = 2    /* io_uring; if the system does not allow it, creating the context fails */
};
TORQUE_API torque_err torque_config_set_aio(struct torque_config *config, uint32_t backend);

/* Returns TORQUE_AIO_THREADS or TORQUE_AIO_URING. */
TORQUE_API uint32_t torque_aio_backend(const struct torque_ctx *ctx);

/* Called exactly once for each operation that was started. If err is 0, result is the number of bytes (less than
 * requested is not an error; 0 is the end of the file), or 0 for the syncs. Otherwise err is SYSCALL + errno; ECANCELED
 * means that the operation was not performed.
 * Thread: as any callback; in torque_stop(), the thread that stops the context. */
typedef void torque_aio_fn(torque_source op, torque_err err, int64_t result, void *arg);

/* Reads or writes at offset, in bytes from the beginning of the file. The file position of the descriptor is neither
 * used nor changed. If the caller is a callback of ctx, fn runs in the same domain. *ret_op (ret_op may be null) is for
 * torque_aio_cancel(); it is set before fn can run.
 * Thread: any.
 * Errors: INVAL; RESOURCE; STOPPED; FORKED; SYSCALL + EBADF, ESPIPE (a pipe, a socket or a terminal), EAGAIN (there is
 *         no helper, and none could be created). If a call fails, fn is not called. */
TORQUE_API torque_err torque_aio_read(struct torque_ctx *ctx, int32_t fd, void *buffer, size_t size, uint64_t offset,
                                      torque_aio_fn *fn, void *arg, torque_source *ret_op);
TORQUE_API torque_err torque_aio_write(struct torque_ctx *ctx, int32_t fd, const void *buffer, size_t size,
                                       uint64_t offset, torque_aio_fn *fn, void *arg, torque_source *ret_op);

/* The same with count buffers, at most 1024. */
TORQUE_API torque_err torque_aio_readv(struct torque_ctx *ctx, int32_t fd, const struct iovec *buffers, uint32_t count,
                                       uint64_t offset, torque_aio_fn *fn, void *arg, torque_source *ret_op);
TORQUE_API torque_err torque_aio_writev(struct torque_ctx *ctx, int32_t fd, const struct iovec *buffers, uint32_t count,
                                        uint64_t offset, torque_aio_fn *fn, void *arg, torque_source *ret_op);

/* Flush to disk everything whose write was reported before the call: fsync(2), fdatasync(2). */
TORQUE_API torque_err torque_aio_fsync(struct torque_ctx *ctx, int32_t fd, torque_aio_fn *fn, void *arg,
                                       torque_source *ret_op);
TORQUE_API torque_err torque_aio_fdatasync(struct torque_ctx *ctx, int32_t fd, torque_aio_fn *fn, void *arg,
                                           torque_source *ret_op);

/* Creates any of the operations without starting it. Set a strand, a placement or a finalizer, and call
 * torque_source_start(). For READV and WRITEV, buffer is the array and size its length. The syncs ignore buffer, size
 * and offset. */
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

/* Cancels an operation.
 * Returns: 0 if the operation has not started; fn is then called with ECANCELED.
 * Errors: STATE (the operation is in progress or complete, and fn is called with its result; or it was not started);
 *         STALE (fn was called); KIND (not a file operation); FORKED. */
TORQUE_API torque_err torque_aio_cancel(torque_source op);

TORQUE_END_DECLS

#endif
