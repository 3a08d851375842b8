/* SPDX-License-Identifier: BSD-3-Clause */
/* A library that calls itself libevent's, or libev's: with the names that torque-run looks for, and a call of its own. */
int event_add(void);
int event_base_loop(void);
int ev_run(void);
int event_add(void) { return 1; }
int event_base_loop(void) { return event_add(); }
int ev_run(void) { return 2; }
