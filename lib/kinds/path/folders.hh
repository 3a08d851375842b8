// SPDX-License-Identifier: BSD-3-Clause
// The directories that one path source watches, as a tree, to be found by parent and name and by the kernel's number.
//
// Thread: whoever holds the source.
#pragma once

#include <string_view>

#include "base/vec.hh"

namespace torque {

struct Folder {
  Folder *parent;               // null: the watched path itself
  Folder *child, *prev, *next;  // first child; siblings
  Folder *same_name, *same_wd;  // in their buckets
  int wd;                       // -1: none
  uint32_t seen;                // the walk that met it last
  uint32_t length;
  char *name;  // of that length
};

class Folders {
 public:
  explicit Folders(const Alloc &alloc) noexcept : alloc_(alloc) {}
  ~Folders();
  Folders(const Folders &) = delete;
  Folders &operator=(const Folders &) = delete;

  // Null: no memory. parent null: the root, of which there is one.
  Folder *add(Folder *parent, std::string_view name, int wd) noexcept;
  // Requires: it has no children.
  void remove(Folder *f) noexcept;
  void clear() noexcept;
  void set_wd(Folder *f, int wd) noexcept;
  // False: no memory, and all is as before. Requires: parent is not below f.
  bool move(Folder *f, Folder *parent, std::string_view name) noexcept;

  Folder *root() const noexcept { return root_; }
  Folder *find(int wd) const noexcept;
  Folder *find(const Folder *parent, std::string_view name) const noexcept;
  // Another one that has its name; null: none.
  Folder *find_other(const Folder *f) const noexcept;
  // By the name below the root: "a/b"; "": the root.
  Folder *find_path(std::string_view name) const noexcept;
  static bool is_below(const Folder *f, const Folder *above) noexcept;  // or the same
  // The next one of a walk through all that are below top, children before their parents. Starts with innermost(top).
  static Folder *innermost(Folder *f) noexcept;

  // Appends the name below the root, of name in f ("": f itself), and a 0. False: no memory.
  bool spell(const Folder *f, std::string_view name, Vec<char> *out) const noexcept;

 private:
  static size_t hash(const Folder *parent, std::string_view name) noexcept;
  Folder **bucket_of(const Folder *parent, std::string_view name) const noexcept {
    return &names_[hash(parent, name) & (buckets_ - 1)];
  }
  Folder **bucket_of(int wd) const noexcept { return &wds_[static_cast<uint32_t>(wd) & (buckets_ - 1)]; }
  bool grow() noexcept;
  void link(Folder *f) noexcept;
  void unlink(Folder *f) noexcept;
  void link_wd(Folder *f) noexcept;
  void unlink_wd(Folder *f) noexcept;
  char *copy(std::string_view name) const noexcept;

  const Alloc &alloc_;
  Folder *root_ = nullptr;
  Folder **names_ = nullptr;
  Folder **wds_ = nullptr;
  size_t buckets_ = 0;
  size_t count_ = 0;
};

}  // namespace torque
