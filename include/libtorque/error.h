/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef LIBTORQUE_ERROR_H
#define LIBTORQUE_ERROR_H

#include <libtorque/export.h>
#include <stdint.h>

TORQUE_BEGIN_DECLS

/* The one error rule: every call that can fail returns a torque_err, 0 for success. What it produces comes back
 * through its last parameters (ret_*), which are untouched on failure. torque_errstr() explains every value.
 *
 *   0 .. 8            the codes of the original libtorque, frozen
 *   9 + errno         a system call failed (TORQUE_ERR_SYSCALL + errno; 9 itself is never returned)
 *   4096 and above    codes of ours */
typedef int32_t torque_err;

enum {
  TORQUE_ERR_NONE = 0,
  TORQUE_ERR_ASSERT = 1,    /* a precondition inside the library failed */
  TORQUE_ERR_CPUDETECT = 2, /* the processors could not be detected */
  TORQUE_ERR_GPUDETECT = 3, /* never returned */
  TORQUE_ERR_MEMDETECT = 4, /* the memories could not be detected */
  TORQUE_ERR_AFFINITY = 5,  /* no usable CPU is left by affinity, cpuset and configuration */
  TORQUE_ERR_RESOURCE = 6,  /* no memory */
  TORQUE_ERR_INVAL = 7,     /* a parameter is not valid */
  TORQUE_ERR_UNAVAIL = 8,   /* not available on this platform or in this build */
  TORQUE_ERR_SYSCALL = 9,   /* sentinel: errno is added to it */

  TORQUE_ERR_STALE = 4096,    /* the source was removed, or replaced when its descriptor's number was used again */
  TORQUE_ERR_DEADLOCK = 4097, /* waiting here would wait for the caller itself */
  TORQUE_ERR_FORKED = 4098,   /* the context belongs to the parent process */
  TORQUE_ERR_STOPPED = 4099,  /* the context is stopping or has stopped */
  TORQUE_ERR_EXIST = 4100,    /* the descriptor already has a source in this context */
  TORQUE_ERR_KIND = 4101,     /* not possible for this kind of source or context */
  TORQUE_ERR_BUSY = 4102,     /* another thread is running this driven context */
  TORQUE_ERR_STATE = 4103,    /* not possible in the source's present state (already started, not started) */
  TORQUE_ERR_FULL = 4104,     /* as much waits already as was allowed */

  /* The resolver: see dns.h. */
  TORQUE_ERR_DNS_NODATA = 4120,   /* the name exists, but has no such records */
  TORQUE_ERR_DNS_NXDOMAIN = 4121, /* the name does not exist */
  TORQUE_ERR_DNS_SERVFAIL = 4122, /* the name server could not find out */
  TORQUE_ERR_DNS_FORMERR = 4123,  /* the name server did not understand the query */
  TORQUE_ERR_DNS_NOTIMP = 4124,   /* the name server does not do such queries */
  TORQUE_ERR_DNS_REFUSED = 4125,  /* the name server does not want to answer */
  TORQUE_ERR_DNS_BADRESP = 4126,  /* what the name server answered makes no sense */
  TORQUE_ERR_DNS_BADNAME = 4127,  /* not a name that can be asked for */
  TORQUE_ERR_DNS_NOSERVER = 4128, /* no name server could be asked */
  TORQUE_ERR_DNS_SERVICE = 4129,  /* no such service */

  /* TLS: see tls.h. */
  TORQUE_ERR_TLS_HANDSHAKE = 4140,   /* the two sides do not agree, or one of them does not speak TLS */
  TORQUE_ERR_TLS_VERIFY = 4141,      /* the peer has no certificate, or not one to trust */
  TORQUE_ERR_TLS_REFUSED = 4142,     /* the peer has sent an alert */
  TORQUE_ERR_TLS_PROTOCOL = 4143,    /* what the peer sent is damaged, or makes no sense */
  TORQUE_ERR_TLS_TRUNCATED = 4144,   /* the peer's end came without its goodbye: something may be missing */
  TORQUE_ERR_TLS_CERTIFICATE = 4145, /* a certificate or key that was given cannot be used */

  /* Compression: see compress.h. */
  TORQUE_ERR_Z_CORRUPT = 4160,   /* what was received is not valid for its compression, or a checksum does not fit */
  TORQUE_ERR_Z_TRUNCATED = 4161, /* it ended in the middle */
  TORQUE_ERR_Z_TOOLARGE = 4162,  /* it becomes larger, or needs more memory, than was allowed */
  TORQUE_ERR_Z_DICTIONARY = 4163 /* it needs a dictionary, or another one */
};

/* A text for err. Static for the library's own codes and for the system's; never null.
 * Thread: any. */
TORQUE_API const char *torque_errstr(torque_err err);

/* The errno inside err, 0 when err is not from a system call.
 * Thread: any. */
TORQUE_API int32_t torque_err_errno(torque_err err);

TORQUE_END_DECLS

#endif
