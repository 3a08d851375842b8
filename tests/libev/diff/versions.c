/* SPDX-License-Identifier: BSD-3-Clause */
#include "diff.h"

CASE(the_version_is_that_of_the_header) {
  trace("%d.%d", ev_version_major(), ev_version_minor());
  trace("as the header: %d", ev_version_major() == EV_VERSION_MAJOR && ev_version_minor() == EV_VERSION_MINOR);
}

CASE(a_process_that_only_asks_has_no_default_loop) {
  trace("backends: %d", (ev_supported_backends() & EVBACKEND_EPOLL) != 0);
  trace("default loop: %d", EV_DEFAULT_UC != NULL);
}
