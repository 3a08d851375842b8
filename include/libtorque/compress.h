/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef LIBTORQUE_COMPRESS_H
#define LIBTORQUE_COMPRESS_H

#include <libtorque/layer.h>
#include <stddef.h>

TORQUE_BEGIN_DECLS

/* Compression (libtorque_z): layers that compress what a stream sends and decompress what it receives.
 *
 * Received data is a sequence of members (gzip, zlib, bzip2) or frames (zstd). If the connection ends within a member,
 * or before the first one, the stream ends with TORQUE_ERR_Z_TRUNCATED; a side that ends its output in order sends a
 * complete member, even if it is empty. If data is damaged, or a checksum is wrong, the stream ends with
 * TORQUE_ERR_Z_CORRUPT. Bytes are reported as they are decompressed, and no more is decompressed than the program
 * takes. If a small input decompresses to a large one, the rest waits in compressed form.
 *
 * A layer uses no memory until the first byte passes through it, and none between members. Otherwise it uses about:
 *   gzip               262 KiB to send, 40 KiB to receive
 *   bzip2 at level 9   7.2 MiB to send, 3.5 MiB to receive
 *   zstd at level 3    3.5 MiB to send; to receive, the sender's window (2 MiB at this level) and half a MiB */

/* The settings of a layer. Create them, set what differs from the defaults, create a layer type with them, and free
 * them.
 * Thread: only one at a time may use a settings object.
 * Errors: INVAL (a value is out of range; nothing has changed); RESOURCE. */
struct torque_compression;
TORQUE_API torque_err torque_compression_new(struct torque_compression **ret_compression) TORQUE_CHECKED;
TORQUE_API void torque_compression_free(struct torque_compression *compression);

/* The directions that are transformed. Data in the other direction is passed on unchanged. Default: both. */
enum {
  TORQUE_COMPRESS = 0x1, /* compress what is sent */
  TORQUE_EXPAND = 0x2    /* decompress what is received */
};
TORQUE_API torque_err torque_compression_set_direction(struct torque_compression *compression, uint32_t direction);

/* The compression level: gzip 0 to 9, bzip2 1 to 9, zstd as in libzstd (negative levels are fast). Default: 6, 9, 3.
 * The call that creates the layer type checks whether its kind supports the level. */
TORQUE_API torque_err torque_compression_set_level(struct torque_compression *compression, int32_t level);

/* The format of gzip layers. */
enum {
  TORQUE_FORMAT_GZIP = 0, /* RFC 1952, the default */
  TORQUE_FORMAT_ZLIB = 1, /* RFC 1950 */
  TORQUE_FORMAT_RAW = 2,  /* RFC 1951: no header and no checksum, so damage may go undetected */
  TORQUE_FORMAT_AUTO = 3  /* sends GZIP; receives GZIP or ZLIB */
};
TORQUE_API torque_err torque_compression_set_format(struct torque_compression *compression, uint32_t format);

/* The window size as a power of two: gzip 9 to 15 (default 15), zstd 10 to 27. With zstd this is also the largest
 * window that is accepted (default 23: 8 MiB), because the receiver must allocate it; a larger one ends the stream with
 * TORQUE_ERR_Z_TOOLARGE. 0: the default. */
TORQUE_API torque_err torque_compression_set_window(struct torque_compression *compression, uint32_t bits);

/* Bytes that both sides know in advance; the library copies them. ZLIB and RAW use at most the last 32 KiB. zstd
 * accepts any bytes, or a dictionary that zstd --train created. Data that needs a different dictionary ends the stream
 * with TORQUE_ERR_Z_DICTIONARY. length 0: none. */
TORQUE_API torque_err torque_compression_set_dictionary(struct torque_compression *compression, const void *data,
                                                        size_t length);

/* When output is flushed. */
enum {
  TORQUE_FLUSH_DEFAULT = 0, /* SYNC; for bzip2 MEMBER */
  TORQUE_FLUSH_SYNC = 1,    /* when the callback returns, within the same member; not for bzip2 */
  TORQUE_FLUSH_MEMBER = 2,  /* when the callback returns, at the end of a member: no memory is needed between members */
  TORQUE_FLUSH_NONE = 3     /* when enough output has been collected, and at the end */
};
TORQUE_API torque_err torque_compression_set_flush(struct torque_compression *compression, uint32_t flush);

/* What may follow a received member. */
enum {
  TORQUE_FOLLOWS_MEMBER = 0, /* only another member, the default; anything else is TORQUE_ERR_Z_CORRUPT */
  TORQUE_FOLLOWS_ANY = 1,    /* another member; anything else ends the input and is discarded (as by gzip -d) */
  TORQUE_FOLLOWS_END = 2 /* nothing: the input ends with the first member, without waiting for the connection's end */
};
TORQUE_API torque_err torque_compression_set_follows(struct torque_compression *compression, uint32_t follows);

/* Limits on the decompressed input of a stream: at most bytes bytes in all, and, beyond the first MiB, at most ratio
 * times the number of bytes received. Beyond them the stream ends with TORQUE_ERR_Z_TOOLARGE. 0, the default, means no
 * limit. (gzip can reach a ratio of 1032, bzip2 and zstd far more.) */
TORQUE_API torque_err torque_compression_set_limit(struct torque_compression *compression, uint64_t bytes,
                                                   uint32_t ratio);

/* Create a layer type for torque_stream_type_add_layer() and torque_stream_push_layer(). The caller owns the reference
 * (torque_layer_type_free()). compression is copied; null means the defaults.
 * Errors: INVAL (this kind does not support a setting: a level, a window, a dictionary with GZIP, AUTO or bzip2, SYNC
 *         with bzip2); UNAVAIL (the library was built without this kind of layer); RESOURCE. */
TORQUE_API torque_err torque_gzip_layer(const struct torque_compression *compression,
                                        struct torque_layer_type **ret_type) TORQUE_CHECKED;
TORQUE_API torque_err torque_bzip2_layer(const struct torque_compression *compression,
                                         struct torque_layer_type **ret_type) TORQUE_CHECKED;
TORQUE_API torque_err torque_zstd_layer(const struct torque_compression *compression,
                                        struct torque_layer_type **ret_type) TORQUE_CHECKED;

TORQUE_END_DECLS

#endif
