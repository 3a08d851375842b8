// SPDX-License-Identifier: BSD-3-Clause
#include "kinds/path/folders.hh"

#include <algorithm>

namespace torque {

namespace {
constexpr size_t kFirstBuckets = 16;
std::string_view name_of(const Folder *f) noexcept { return {f->name, f->length}; }
}  // namespace

Folders::~Folders() { clear(); }

void Folders::clear() noexcept {
  while (root_) remove(innermost(root_));
  alloc_.put(names_, buckets_ * sizeof *names_);
  alloc_.put(wds_, buckets_ * sizeof *wds_);
  names_ = wds_ = nullptr;
  buckets_ = 0;
}

// FNV-1a.
size_t Folders::hash(const Folder *parent, std::string_view name) noexcept {
  uint64_t h = 14695981039346656037u ^ (reinterpret_cast<uintptr_t>(parent) >> 4);
  for (const char c : name) h = (h ^ static_cast<unsigned char>(c)) * 1099511628211u;
  return static_cast<size_t>(h ^ h >> 32);
}

char *Folders::copy(std::string_view name) const noexcept {
  auto *p = static_cast<char *>(alloc_.get(name.size() + 1, 1));
  if (p && !name.empty()) std::memcpy(p, name.data(), name.size());
  return p;
}

bool Folders::grow() noexcept {
  const size_t count = buckets_ ? buckets_ * 2 : kFirstBuckets;
  auto **names = static_cast<Folder **>(alloc_.get(count * sizeof(Folder *), alignof(Folder *)));
  auto **wds = static_cast<Folder **>(alloc_.get(count * sizeof(Folder *), alignof(Folder *)));
  if (!names || !wds) {
    alloc_.put(names, count * sizeof(Folder *));
    alloc_.put(wds, count * sizeof(Folder *));
    return false;
  }
  for (size_t i = 0; i < count; ++i) names[i] = wds[i] = nullptr;
  std::swap(names, names_);
  std::swap(wds, wds_);
  const size_t before = std::exchange(buckets_, count);
  for (size_t i = 0; i < before; ++i) {
    while (Folder *f = names[i]) {
      names[i] = f->same_name;
      Folder **at = bucket_of(f->parent, name_of(f));
      f->same_name = *at;
      *at = f;
    }
    while (Folder *f = wds[i]) {
      wds[i] = f->same_wd;
      link_wd(f);
    }
  }
  alloc_.put(names, before * sizeof(Folder *));
  alloc_.put(wds, before * sizeof(Folder *));
  return true;
}

void Folders::link(Folder *f) noexcept {
  Folder **at = bucket_of(f->parent, name_of(f));
  f->same_name = *at;
  *at = f;
  f->prev = f->next = nullptr;
  if (!f->parent) {
    root_ = f;
    return;
  }
  f->next = f->parent->child;
  if (f->next) f->next->prev = f;
  f->parent->child = f;
}

void Folders::unlink(Folder *f) noexcept {
  Folder **at = bucket_of(f->parent, name_of(f));
  while (*at != f) at = &(*at)->same_name;
  *at = f->same_name;
  if (!f->parent) {
    root_ = nullptr;
    return;
  }
  (f->prev ? f->prev->next : f->parent->child) = f->next;
  if (f->next) f->next->prev = f->prev;
}

void Folders::link_wd(Folder *f) noexcept {
  Folder **at = bucket_of(f->wd);
  f->same_wd = *at;
  *at = f;
}

void Folders::unlink_wd(Folder *f) noexcept {
  if (f->wd < 0) return;
  Folder **at = bucket_of(f->wd);
  while (*at != f) at = &(*at)->same_wd;
  *at = f->same_wd;
}

void Folders::set_wd(Folder *f, int wd) noexcept {
  unlink_wd(f);
  f->wd = wd;
  if (wd >= 0) link_wd(f);
}

Folder *Folders::add(Folder *parent, std::string_view name, int wd) noexcept {
  if (count_ >= buckets_ && !grow() && buckets_ == 0) return nullptr;
  auto *f = alloc_.make<Folder>();
  char *text = f ? copy(name) : nullptr;
  if (!text) {
    alloc_.destroy(f);
    return nullptr;
  }
  *f = {parent, nullptr, nullptr, nullptr, nullptr, nullptr, -1, 0, static_cast<uint32_t>(name.size()), text};
  link(f);
  set_wd(f, wd);
  ++count_;
  return f;
}

void Folders::remove(Folder *f) noexcept {
  unlink_wd(f);
  unlink(f);
  alloc_.put(f->name, f->length + 1);
  alloc_.destroy(f);
  --count_;
}

bool Folders::move(Folder *f, Folder *parent, std::string_view name) noexcept {
  char *text = copy(name);
  if (!text) return false;
  unlink(f);
  alloc_.put(f->name, f->length + 1);
  f->name = text;
  f->length = static_cast<uint32_t>(name.size());
  f->parent = parent;
  link(f);
  return true;
}

Folder *Folders::find(int wd) const noexcept {
  if (!buckets_ || wd < 0) return nullptr;
  Folder *f = *bucket_of(wd);
  while (f && f->wd != wd) f = f->same_wd;
  return f;
}

Folder *Folders::find(const Folder *parent, std::string_view name) const noexcept {
  if (!buckets_) return nullptr;
  Folder *f = *bucket_of(parent, name);
  while (f && (f->parent != parent || name_of(f) != name)) f = f->same_name;
  return f;
}

Folder *Folders::find_other(const Folder *f) const noexcept {
  Folder *other = *bucket_of(f->parent, name_of(f));
  while (other && (other == f || other->parent != f->parent || name_of(other) != name_of(f))) other = other->same_name;
  return other;
}

Folder *Folders::find_path(std::string_view name) const noexcept {
  Folder *f = root_;
  while (f && !name.empty()) {
    const size_t slash = name.find('/');
    f = find(f, name.substr(0, slash));
    name = slash == name.npos ? std::string_view() : name.substr(slash + 1);
  }
  return f;
}

bool Folders::is_below(const Folder *f, const Folder *above) noexcept {
  while (f && f != above) f = f->parent;
  return f != nullptr;
}

Folder *Folders::innermost(Folder *f) noexcept {
  while (f->child) f = f->child;
  return f;
}

bool Folders::spell(const Folder *f, std::string_view name, Vec<char> *out) const noexcept {
  const size_t begin = out->size();
  size_t length = name.size();
  for (const Folder *at = f; at->parent; at = at->parent) length += at->length + (length ? 1 : 0);
  const size_t end = begin + length + 1;
  if (end > out->capacity() && !out->reserve(std::max(end, out->capacity() * 2))) return false;
  // From the end to the beginning.
  for (size_t i = 0; i <= length; ++i) out->push_reserved(0);
  char *to = out->begin() + begin + length;
  const auto prepend = [&](std::string_view part) {
    to -= part.size();
    if (!part.empty()) std::memcpy(to, part.data(), part.size());
  };
  prepend(name);
  bool any = !name.empty();
  for (const Folder *at = f; at->parent; at = at->parent) {
    if (any) prepend("/");
    prepend(name_of(at));
    any = true;
  }
  return true;
}

}  // namespace torque
