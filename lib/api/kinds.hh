// SPDX-License-Identifier: BSD-3-Clause
// All kinds of sources, for the table that the core looks them up in. kinds.def has them in the order of Kind.
#pragma once

#include "api/job.hh"
#include "kinds/child.hh"
#include "kinds/condition.hh"
#include "kinds/datagram/datagram.hh"
#include "kinds/fd.hh"
#include "kinds/files.hh"
#include "kinds/idle.hh"
#include "kinds/listener.hh"
#include "kinds/network/network.hh"
#include "kinds/path/inodes.hh"
#include "kinds/path/path.hh"
#include "kinds/signal.hh"
#include "kinds/timer.hh"
#include "source/strand.hh"
#include "stream/stream.hh"
