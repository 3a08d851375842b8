// SPDX-License-Identifier: BSD-3-Clause
#include "libtorque/error.h"

#include <cstring>

namespace {

struct Text {
  torque_err err;
  const char *text;
};

constexpr Text kTexts[] = {
    {TORQUE_ERR_NONE, "Success"},
    {TORQUE_ERR_ASSERT, "A precondition inside the library failed"},
    {TORQUE_ERR_CPUDETECT, "The processors could not be detected"},
    {TORQUE_ERR_GPUDETECT, "The graphics processors could not be detected"},
    {TORQUE_ERR_MEMDETECT, "The memories could not be detected"},
    {TORQUE_ERR_AFFINITY, "Affinity, cpuset and configuration leave no usable CPU"},
    {TORQUE_ERR_RESOURCE, "Out of memory"},
    {TORQUE_ERR_INVAL, "A parameter is not valid"},
    {TORQUE_ERR_UNAVAIL, "Not available on this platform or in this build"},
    {TORQUE_ERR_SYSCALL, "A system call failed"},
    {TORQUE_ERR_STALE, "The source was removed, or its descriptor's number was reused"},
    {TORQUE_ERR_DEADLOCK, "The call would wait for its own caller"},
    {TORQUE_ERR_FORKED, "The context belongs to the parent process"},
    {TORQUE_ERR_STOPPED, "The context is stopping or has stopped"},
    {TORQUE_ERR_EXIST, "The descriptor already has a source in this context"},
    {TORQUE_ERR_KIND, "Not possible for this kind of source or context"},
    {TORQUE_ERR_BUSY, "Another thread is running this driven context"},
    {TORQUE_ERR_STATE, "Not possible in the present state of the source"},
    {TORQUE_ERR_FULL, "A queue has reached its limit"},
    {TORQUE_ERR_DNS_NODATA, "The name has no such records"},
    {TORQUE_ERR_DNS_NXDOMAIN, "The name does not exist"},
    {TORQUE_ERR_DNS_SERVFAIL, "The name server failed"},
    {TORQUE_ERR_DNS_FORMERR, "The name server did not understand the query"},
    {TORQUE_ERR_DNS_NOTIMP, "The name server does not support such queries"},
    {TORQUE_ERR_DNS_REFUSED, "The name server refused to answer"},
    {TORQUE_ERR_DNS_BADRESP, "The response of the name server is malformed"},
    {TORQUE_ERR_DNS_BADNAME, "Not a valid name"},
    {TORQUE_ERR_DNS_NOSERVER, "No name server could be queried"},
    {TORQUE_ERR_DNS_SERVICE, "No such service"},
    {TORQUE_ERR_TLS_HANDSHAKE, "The TLS handshake failed"},
    {TORQUE_ERR_TLS_VERIFY, "The peer's certificate is missing or not trusted"},
    {TORQUE_ERR_TLS_REFUSED, "The peer has refused the connection with a TLS alert"},
    {TORQUE_ERR_TLS_PROTOCOL, "The peer violated the TLS protocol, or its data was corrupted"},
    {TORQUE_ERR_TLS_TRUNCATED, "The peer ended the connection without a TLS close_notify alert: data may be missing"},
    {TORQUE_ERR_TLS_CERTIFICATE, "The certificate or key cannot be used"},
    {TORQUE_ERR_Z_CORRUPT, "The compressed data is invalid, or its checksum is wrong"},
    {TORQUE_ERR_Z_TRUNCATED, "The compressed data ended in the middle"},
    {TORQUE_ERR_Z_TOOLARGE, "The decompressed data is larger, or needs more memory, than is allowed"},
    {TORQUE_ERR_Z_DICTIONARY, "The compressed data needs a dictionary, or a different one"},
};

}  // namespace

extern "C" {

const char *torque_errstr(torque_err err) {
  for (const Text &t : kTexts) {
    if (t.err == err) return t.text;
  }
  // strerrordesc_np answers from a table: no buffer, no locale, any thread.
  if (const int e = torque_err_errno(err)) {
    if (const char *text = ::strerrordesc_np(e)) return text;
  }
  return "Unknown error";
}

int32_t torque_err_errno(torque_err err) {
  return err > TORQUE_ERR_SYSCALL && err < TORQUE_ERR_STALE ? err - TORQUE_ERR_SYSCALL : 0;
}

}  // extern "C"
