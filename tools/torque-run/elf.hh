// SPDX-License-Identifier: BSD-3-Clause
// An ELF file, as far as the dynamic linker's decisions depend on it. Read, never run; every offset in it is doubted.
#pragma once

#include <link.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace torque_tools {

enum class Reading {
  good,
  unreadable,  // errno says why
  no_elf,
  foreign,  // another architecture, word size or byte order; only those are known
  broken,
};

class Elf {
 public:
  Elf() = default;
  ~Elf() { close(); }
  Elf(const Elf &) = delete;
  Elf &operator=(const Elf &) = delete;

  Reading open(const std::string &path);

  const std::string &interpreter() const { return interpreter_; }  // "" where there is none
  const std::string &soname() const { return soname_; }
  const std::string &rpath() const { return rpath_; }
  const std::string &runpath() const { return runpath_; }
  const std::vector<std::string> &needed() const { return needed_; }
  bool is_dynamic() const { return dynamic_; }
  bool no_default_paths() const { return flags1_ & DF_1_NODEFLIB; }
  bool is_symbolic() const { return symbolic_; }  // -Bsymbolic

  bool exports(std::string_view name) const { return has(name, Part::exported); }
  bool imports(std::string_view name) const { return has(name, Part::imported); }
  bool contains(std::string_view name) const { return has(name, Part::inner); }  // in the table that strip(1) removes
  bool relocates(std::string_view name) const;  // looks it up: another object's may come before its own
  bool has_text(std::string_view text) const;

  // "x86-64, 64 bits"
  std::string architecture() const;

 private:
  enum class Part { exported, imported, inner };
  struct Table {
    uint64_t at = 0, count = 0, strings = 0, strings_size = 0;
  };

  void close();
  bool read_headers();
  void read_dynamic(uint64_t at, uint64_t size);
  void read_sections();
  bool has(std::string_view name, Part part) const;
  bool relocates_in(uint64_t at, uint64_t size, uint64_t entry, std::string_view name) const;
  std::string_view symbol_name(const Table &table, uint64_t index) const;
  std::string_view string_at(uint64_t table, uint64_t size, uint64_t offset) const;
  uint64_t file_offset(uint64_t address) const;  // UINT64_MAX: in no segment
  template <class T>
  bool get(uint64_t offset, T *ret) const;

  const char *data_ = nullptr;
  uint64_t size_ = 0;
  ElfW(Ehdr) head_ = {};
  std::vector<ElfW(Phdr)> loads_;
  std::string interpreter_, soname_, rpath_, runpath_;
  std::vector<std::string> needed_;
  bool dynamic_ = false, symbolic_ = false;
  uint64_t flags1_ = 0;
  Table exported_, inner_;
  struct {
    uint64_t at = 0, size = 0, entry = 0;
  } relocations_[3];
};

}  // namespace torque_tools
