/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef LIBTORQUE_COMPRESS_H
#define LIBTORQUE_COMPRESS_H

#include <libtorque/layer.h>
#include <stddef.h>

TORQUE_BEGIN_DECLS

/* Compression (libtorque_z): layers that compress what a stream sends and expand what it receives.
 *
 * What is received is a row of members (gzip, zlib, bzip2), or frames (zstd), one behind the other. The end of the wire
 * within one ends the stream with TORQUE_ERR_Z_TRUNCATED, also before the first: who sends ends with a complete one, if
 * only an empty one. Data that are damaged, or whose checksum does not fit, end it with TORQUE_ERR_Z_CORRUPT. Bytes are
 * told as they are expanded, and no more is expanded than the program takes: a small input that becomes large waits in
 * its compressed form.
 *
 * Memory: none until the first byte goes through, nor between members; else for gzip 262 KiB to send and 40 KiB to
 * receive, for bzip2 at level 9 7.2 MiB and 3.5 MiB, for zstd at level 3 3.5 MiB, and the sender's window (2 MiB there)
 * and half a MiB. */

/* What a layer shall be. Make one, set what differs from the defaults, make a layer type with it, free it.
 * Thread: one at a time. Setters return TORQUE_ERR_INVAL for values out of range and then change nothing. */
struct torque_compression;
TORQUE_API torque_err torque_compression_new(struct torque_compression **ret_compression) TORQUE_CHECKED;
TORQUE_API void torque_compression_free(struct torque_compression *compression);

/* Which ways are changed; the other is passed on as it is. Default: both. */
enum {
  TORQUE_COMPRESS = 0x1, /* what is sent is compressed */
  TORQUE_EXPAND = 0x2    /* what is received is expanded */
};
TORQUE_API torque_err torque_compression_set_direction(struct torque_compression *compression, uint32_t direction);

/* How hard to try: gzip 0 to 9, bzip2 1 to 9, zstd as libzstd has it (negative ones are fast). Default: 6, 9, 3. What
 * is not possible for the kind of layer is found when that is made. */
TORQUE_API torque_err torque_compression_set_level(struct torque_compression *compression, int32_t level);

/* gzip layers: what stands around the deflated data. */
enum {
  TORQUE_FORMAT_GZIP = 0, /* RFC 1952, the default */
  TORQUE_FORMAT_ZLIB = 1, /* RFC 1950 */
  TORQUE_FORMAT_RAW = 2,  /* RFC 1951: nothing, so that damage may pass unseen */
  TORQUE_FORMAT_AUTO = 3  /* sends as GZIP; receives either GZIP or ZLIB, whatever comes */
};
TORQUE_API torque_err torque_compression_set_format(struct torque_compression *compression, uint32_t format);

/* How far back repetitions are looked for, as a power of two: gzip 9 to 15 (default 15), zstd 10 to 27. For zstd also
 * the most that is accepted (default 23: 8 MiB), as the receiver has to keep as much; more ends the stream with
 * TORQUE_ERR_Z_TOOLARGE. 0: the default. */
TORQUE_API torque_err torque_compression_set_window(struct torque_compression *compression, uint32_t bits);

/* Bytes that both sides know beforehand (copied), for zlib and raw deflate at most the last 32 KiB of them, for zstd
 * raw or made by zstd --train. Data that ask for another end the stream with TORQUE_ERR_Z_DICTIONARY. length 0: none.
 */
TORQUE_API torque_err torque_compression_set_dictionary(struct torque_compression *compression, const void *data,
                                                        size_t length);

/* When what was written goes out. */
enum {
  TORQUE_FLUSH_DEFAULT = 0, /* SYNC; for bzip2 MEMBER */
  TORQUE_FLUSH_SYNC = 1,    /* when the callback returns, as a part of the same member; not for bzip2 */
  TORQUE_FLUSH_MEMBER = 2,  /* when the callback returns, as the end of a member: between them no memory is needed */
  TORQUE_FLUSH_NONE = 3     /* when enough has come together, and at the end */
};
TORQUE_API torque_err torque_compression_set_flush(struct torque_compression *compression, uint32_t flush);

/* What may follow a member that is received. */
enum {
  TORQUE_FOLLOWS_MEMBER = 0, /* only another, the default; anything else is TORQUE_ERR_Z_CORRUPT */
  TORQUE_FOLLOWS_ANY = 1,    /* another; or the input ends there, and the rest is discarded (as gzip -d does) */
  TORQUE_FOLLOWS_END = 2     /* nothing: the input ends with the first, without waiting for the wire's end */
};
TORQUE_API torque_err torque_compression_set_follows(struct torque_compression *compression, uint32_t follows);

/* Against input that becomes too large: at most bytes in all, and, beyond the first MiB, at most ratio times what has
 * been received; else TORQUE_ERR_Z_TOOLARGE. 0, the default: any. (gzip can reach 1032, bzip2 and zstd far more.) */
TORQUE_API torque_err torque_compression_set_limit(struct torque_compression *compression, uint64_t bytes,
                                                   uint32_t ratio);

/* A layer type for torque_stream_type_add_layer() and torque_stream_push_layer(), whose reference is the caller's
 * (torque_layer_type_free()). compression: null for the defaults; it is copied.
 * Errors: INVAL what this kind cannot do (a level, a window, a dictionary with GZIP, AUTO or bzip2, SYNC with bzip2);
 *         UNAVAIL the library was built without it; RESOURCE. */
TORQUE_API torque_err torque_gzip_layer(const struct torque_compression *compression,
                                        struct torque_layer_type **ret_type) TORQUE_CHECKED;
TORQUE_API torque_err torque_bzip2_layer(const struct torque_compression *compression,
                                         struct torque_layer_type **ret_type) TORQUE_CHECKED;
TORQUE_API torque_err torque_zstd_layer(const struct torque_compression *compression,
                                        struct torque_layer_type **ret_type) TORQUE_CHECKED;

TORQUE_END_DECLS

#endif
