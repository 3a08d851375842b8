// SPDX-License-Identifier: BSD-3-Clause
#include "libtorque/aio.h"

#include <sys/uio.h>
#include <unistd.h>

#include "api/handle.hh"
#include "api/job.hh"

using namespace torque;

namespace {

constexpr size_t kPartsMax = 1024;  // as readv(2) has it

bool is_vector(uint32_t operation) noexcept {
  return operation == TORQUE_AIO_READV || operation == TORQUE_AIO_WRITEV;
}

torque_err start_new(struct torque_ctx *ctx, uint32_t operation, int fd, const void *buffer, size_t size,
                     uint64_t offset, torque_aio_fn *fn, void *arg, torque_source *ret) noexcept {
  torque_source op, unwanted = 0;
  const torque_err err = torque_aio_new(ctx, operation, fd, const_cast<void *>(buffer), size, offset, fn, arg, &op);
  return err ? err : start_or_undo(op, ret ? ret : &unwanted);
}

}  // namespace

extern "C" {

torque_err torque_config_set_aio(struct torque_config *config, uint32_t backend) {
  if (!config || backend > TORQUE_AIO_URING) return TORQUE_ERR_INVAL;
  config->options.aio = static_cast<uint8_t>(backend);
  return TORQUE_ERR_NONE;
}

uint32_t torque_aio_backend(const struct torque_ctx *ctx) {
  const Visit visit;
  return check_lives(ctx) == TORQUE_ERR_NONE && ctx->files.in_use() ? TORQUE_AIO_URING : TORQUE_AIO_THREADS;
}

torque_err torque_aio_new(struct torque_ctx *ctx, uint32_t operation, int32_t fd, void *buffer, size_t size,
                          uint64_t offset, torque_aio_fn *fn, void *arg, torque_source *ret_op) {
  const Visit visit;
  const bool sync = operation == TORQUE_AIO_FSYNC || operation == TORQUE_AIO_FDATASYNC;
  if (operation > TORQUE_AIO_FDATASYNC || fd < 0 || !fn || !ret_op) return TORQUE_ERR_INVAL;
  if (!sync && ((!buffer && size) || offset > INT64_MAX)) return TORQUE_ERR_INVAL;
  if (is_vector(operation) && size > kPartsMax) return TORQUE_ERR_INVAL;
  if (const torque_err err = check(ctx)) return err;
  // What has no positions may have to be waited for without end, and io_uring would.
  if (!sync && ::lseek(fd, 0, SEEK_CUR) < 0) return last_error();
  Job *j;
  if (const torque_err err = make_job(ctx->core, static_cast<int32_t>(ctx->core.home().index), fn, arg, &j)) return err;
  j->work = do_file_operation;
  j->operation = static_cast<uint8_t>(operation);
  j->fd = fd;
  j->buffer = sync ? nullptr : buffer;
  j->size = sync ? 0 : size;
  j->offset = sync ? 0 : offset;
  *ret_op = j->handle;
  return TORQUE_ERR_NONE;
}

torque_err torque_aio_read(struct torque_ctx *ctx, int32_t fd, void *buffer, size_t size, uint64_t offset,
                           torque_aio_fn *fn, void *arg, torque_source *ret_op) {
  const Visit visit;
  return start_new(ctx, TORQUE_AIO_READ, fd, buffer, size, offset, fn, arg, ret_op);
}

torque_err torque_aio_write(struct torque_ctx *ctx, int32_t fd, const void *buffer, size_t size, uint64_t offset,
                            torque_aio_fn *fn, void *arg, torque_source *ret_op) {
  const Visit visit;
  return start_new(ctx, TORQUE_AIO_WRITE, fd, buffer, size, offset, fn, arg, ret_op);
}

torque_err torque_aio_readv(struct torque_ctx *ctx, int32_t fd, const struct iovec *buffers, uint32_t count,
                            uint64_t offset, torque_aio_fn *fn, void *arg, torque_source *ret_op) {
  const Visit visit;
  return start_new(ctx, TORQUE_AIO_READV, fd, buffers, count, offset, fn, arg, ret_op);
}

torque_err torque_aio_writev(struct torque_ctx *ctx, int32_t fd, const struct iovec *buffers, uint32_t count,
                             uint64_t offset, torque_aio_fn *fn, void *arg, torque_source *ret_op) {
  const Visit visit;
  return start_new(ctx, TORQUE_AIO_WRITEV, fd, buffers, count, offset, fn, arg, ret_op);
}

torque_err torque_aio_fsync(struct torque_ctx *ctx, int32_t fd, torque_aio_fn *fn, void *arg, torque_source *ret_op) {
  const Visit visit;
  return start_new(ctx, TORQUE_AIO_FSYNC, fd, nullptr, 0, 0, fn, arg, ret_op);
}

torque_err torque_aio_fdatasync(struct torque_ctx *ctx, int32_t fd, torque_aio_fn *fn, void *arg,
                                torque_source *ret_op) {
  const Visit visit;
  return start_new(ctx, TORQUE_AIO_FDATASYNC, fd, nullptr, 0, 0, fn, arg, ret_op);
}

torque_err torque_aio_cancel(torque_source op) {
  const Visit visit;
  return cancel_job(op, true);
}

}  // extern "C"
