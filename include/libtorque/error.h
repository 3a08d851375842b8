/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef LIBTORQUE_ERROR_H
#define LIBTORQUE_ERROR_H

#include <libtorque/export.h>
#include <stdint.h>

TORQUE_BEGIN_DECLS

/* The one error rule: every call that can fail returns a torque_err, which is 0 on success. Results are stored through
 * the last parameters (ret_*), which are unchanged on failure. torque_errstr() returns a text for every value.
 *
 * The comments in these headers leave out the prefix TORQUE_ERR_: "Errors: STALE" means TORQUE_ERR_STALE, and
 * "SYSCALL + EMFILE" means TORQUE_ERR_SYSCALL + EMFILE.
 *
 *   0 .. 8            the codes of the original libtorque; they do not change
 *   9 + errno         a system call failed (TORQUE_ERR_SYSCALL + errno; 9 itself is never returned)
 *   4096 and above    codes of this library */
typedef int32_t torque_err;

enum {
  TORQUE_ERR_NONE = 0,
  TORQUE_ERR_ASSERT = 1,    /* a precondition inside the library failed */
  TORQUE_ERR_CPUDETECT = 2, /* the processors could not be detected */
  TORQUE_ERR_GPUDETECT = 3, /* never returned */
  TORQUE_ERR_MEMDETECT = 4, /* the memories could not be detected */
  TORQUE_ERR_AFFINITY = 5,  /* affinity, cpuset and configuration leave no usable CPU */
  TORQUE_ERR_RESOURCE = 6,  /* out of memory */
  TORQUE_ERR_INVAL = 7,     /* a parameter is not valid */
  TORQUE_ERR_UNAVAIL = 8,   /* not available on this platform or in this build */
  TORQUE_ERR_SYSCALL = 9,   /* base value: errno is added to it */

  TORQUE_ERR_STALE = 4096,    /* the source was removed, or replaced because its descriptor's number was reused */
  TORQUE_ERR_DEADLOCK = 4097, /* the call would wait for its own caller */
  TORQUE_ERR_FORKED = 4098,   /* the context belongs to the parent process */
  TORQUE_ERR_STOPPED = 4099,  /* the context is stopping or has stopped */
  TORQUE_ERR_EXIST = 4100,    /* the descriptor already has a source in this context */
  TORQUE_ERR_KIND = 4101,     /* not possible for this kind of source or context */
  TORQUE_ERR_BUSY = 4102,     /* another thread is running this driven context */
  TORQUE_ERR_STATE = 4103,    /* not possible in the present state of the source (already started, not started) */
  TORQUE_ERR_FULL = 4104,     /* a queue has reached its limit */

  /* The resolver, see dns.h. */
  TORQUE_ERR_DNS_NODATA = 4120,   /* the name exists, but has no such records */
  TORQUE_ERR_DNS_NXDOMAIN = 4121, /* the name does not exist */
  TORQUE_ERR_DNS_SERVFAIL = 4122, /* the name server failed */
  TORQUE_ERR_DNS_FORMERR = 4123,  /* the name server did not understand the query */
  TORQUE_ERR_DNS_NOTIMP = 4124,   /* the name server does not support such queries */
  TORQUE_ERR_DNS_REFUSED = 4125,  /* the name server refused to answer */
  TORQUE_ERR_DNS_BADRESP = 4126,  /* the response of the name server is malformed */
  TORQUE_ERR_DNS_BADNAME = 4127,  /* not a valid name */
  TORQUE_ERR_DNS_NOSERVER = 4128, /* no name server could be queried */
  TORQUE_ERR_DNS_SERVICE = 4129,  /* no such service */

  /* TLS, see tls.h. */
  TORQUE_ERR_TLS_HANDSHAKE = 4140,   /* the two sides have no common parameters, or one of them does not speak TLS */
  TORQUE_ERR_TLS_VERIFY = 4141,      /* the peer has no certificate, or one that is not trusted */
  TORQUE_ERR_TLS_REFUSED = 4142,     /* the peer has refused the connection with an alert */
  TORQUE_ERR_TLS_PROTOCOL = 4143,    /* data from the peer is corrupted or invalid */
  TORQUE_ERR_TLS_TRUNCATED = 4144,   /* the connection ended without a close_notify alert, so input may be missing */
  TORQUE_ERR_TLS_CERTIFICATE = 4145, /* a certificate or key cannot be used */

  /* Compression, see compress.h. */
  TORQUE_ERR_Z_CORRUPT = 4160,   /* the compressed data is invalid, or its checksum is wrong */
  TORQUE_ERR_Z_TRUNCATED = 4161, /* the compressed data ended in the middle */
  TORQUE_ERR_Z_TOOLARGE = 4162,  /* the decompressed data is larger, or needs more memory, than is allowed */
  TORQUE_ERR_Z_DICTIONARY = 4163 /* the compressed data needs a dictionary, or a different one */
};

/* Returns a text for err, never null. The text belongs to the library, never changes, and need not be freed.
 * Thread: any. */
TORQUE_API const char *torque_errstr(torque_err err);

/* Returns the errno that err contains, or 0 if err does not come from a system call.
 * Thread: any. */
TORQUE_API int32_t torque_err_errno(torque_err err);

TORQUE_END_DECLS

#endif
