// SPDX-License-Identifier: BSD-3-Clause
#include "config.hh"

#include <climits>
#include <cstdio>
#include <cstring>

using namespace torque_event;

namespace {

constexpr Method kMethods[] = {
    {"epoll", EV_FEATURE_ET | EV_FEATURE_O1 | EV_FEATURE_EARLY_CLOSE},
    {"poll", EV_FEATURE_FDS | EV_FEATURE_EARLY_CLOSE},
    {"select", EV_FEATURE_FDS},
};
constexpr Method kChangelist = {"epoll (with changelist)", EV_FEATURE_ET | EV_FEATURE_O1 | EV_FEATURE_EARLY_CLOSE};
constexpr size_t kCount = sizeof kMethods / sizeof *kMethods;

bool is_avoided(const event_config *config, const char *name) {
  for (const event_config::Avoided *a = config ? config->avoided : nullptr; a; a = a->next) {
    if (std::strcmp(a->method, name) == 0) return true;
  }
  return false;
}

bool is_disabled(const char *name) {
  char variable[32];
  std::snprintf(variable, sizeof variable, "EVENT_NO%s", name);
  for (char *c = variable; *c; ++c) *c = *c >= 'a' && *c <= 'z' ? static_cast<char>(*c - 'a' + 'A') : *c;
  return get_env(variable) != nullptr;
}

}  // namespace

const Method *torque_event::choose_method(const event_config *config, bool look_at_environment) {
  for (const Method &m : kMethods) {
    if (is_avoided(config, m.name)) continue;
    if (config && (m.features & config->features) != config->features) continue;
    if (look_at_environment && is_disabled(m.name)) continue;
    const bool by_flag = config && config->flags & EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST;
    const bool by_environment = look_at_environment && get_env("EVENT_EPOLL_USE_CHANGELIST");
    return &m == kMethods && (by_flag || by_environment) ? &kChangelist : &m;
  }
  return nullptr;
}

extern "C" {

const char **event_get_supported_methods(void) {
  static const char **last = nullptr;
  auto **names = static_cast<const char **>(mm_calloc(kCount + 1, sizeof(char *)));
  if (!names) return nullptr;
  for (size_t i = 0; i < kCount; ++i) names[i] = kMethods[i].name;
  if (last) mm_free(last);
  return last = names;
}

struct event_config *event_config_new(void) {
  auto *c = static_cast<event_config *>(mm_calloc(1, sizeof(event_config)));
  if (!c) return nullptr;
  c->max_dispatch_interval.tv_sec = -1;
  c->max_dispatch_callbacks = INT_MAX;
  c->limit_after_priority = 1;
  return c;
}

void event_config_free(struct event_config *c) {
  while (event_config::Avoided *a = c->avoided) {
    c->avoided = a->next;
    mm_free(a->method);
    mm_free(a);
  }
  mm_free(c);
}

int event_config_set_flag(struct event_config *c, int flag) {
  if (!c) return -1;
  c->flags |= flag;
  return 0;
}

int event_config_avoid_method(struct event_config *c, const char *method) {
  auto *a = static_cast<event_config::Avoided *>(mm_malloc(sizeof(event_config::Avoided)));
  if (!a) return -1;
  a->method = mm_strdup(method);
  if (!a->method) {
    mm_free(a);
    return -1;
  }
  a->next = c->avoided;
  c->avoided = a;
  return 0;
}

int event_config_require_features(struct event_config *c, int features) {
  if (!c) return -1;
  c->features = features;
  return 0;
}

int event_config_set_num_cpus_hint(struct event_config *c, int) { return c ? 0 : -1; }

int event_config_set_max_dispatch_interval(struct event_config *c, const struct timeval *interval, int callbacks,
                                           int priority) {
  if (interval) c->max_dispatch_interval = *interval;
  else c->max_dispatch_interval.tv_sec = -1;
  c->max_dispatch_callbacks = callbacks >= 0 ? callbacks : INT_MAX;
  c->limit_after_priority = priority < 0 ? 0 : priority;
  return 0;
}

}  // extern "C"
