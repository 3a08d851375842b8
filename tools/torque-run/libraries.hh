// SPDX-License-Identifier: BSD-3-Clause
// The libraries that come with a program: what the dynamic linker would load, found where it would look.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "elf.hh"

namespace torque_tools {

struct Object {
  std::string name;  // as it was asked for
  std::string path;  // "": not found
  std::unique_ptr<Elf> elf = std::make_unique<Elf>();
  const Object *asked_by = nullptr;  // null for the program
};

class Libraries {
 public:
  // What comes with the program, itself first, then what is preloaded, in the order of loading.
  // preloaded: LD_PRELOAD's text, library_path: LD_LIBRARY_PATH's; may be null.
  // Requires: program has been read well.
  Libraries(std::unique_ptr<Object> program, const char *preloaded, const char *library_path);

  const std::vector<std::unique_ptr<Object>> &all() const { return all_; }
  const Object &program() const { return *all_.front(); }

 private:
  void load(const std::string &name, const Object &asker);
  bool is_loaded(const std::string &name) const;
  bool search(const std::string &name, const Object &asker, Object *ret) const;
  bool search_paths(const std::string &name, const std::string &paths, const Object &owner, Object *ret) const;
  bool search_cache(const std::string &name, Object *ret) const;

  std::vector<std::unique_ptr<Object>> all_;
  std::string library_path_;
};

// What is between the separators of LD_PRELOAD and its like.
std::vector<std::string> split(const std::string &text, const char *separators);

}  // namespace torque_tools
