// SPDX-License-Identifier: BSD-3-Clause
#include "elf.hh"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bit>
#include <cerrno>
#include <cstring>

namespace torque_tools {

namespace {

constexpr uint64_t kNowhere = UINT64_MAX;
constexpr unsigned char kClass = sizeof(void *) == 8 ? ELFCLASS64 : ELFCLASS32;
constexpr unsigned char kOrder = std::endian::native == std::endian::little ? ELFDATA2LSB : ELFDATA2MSB;

// The machine that this program was built for: the libraries are built together with it.
#if defined(__x86_64__)
constexpr unsigned kMachine = EM_X86_64;
#elif defined(__i386__)
constexpr unsigned kMachine = EM_386;
#elif defined(__aarch64__)
constexpr unsigned kMachine = EM_AARCH64;
#elif defined(__arm__)
constexpr unsigned kMachine = EM_ARM;
#elif defined(__riscv)
constexpr unsigned kMachine = EM_RISCV;
#elif defined(__powerpc64__)
constexpr unsigned kMachine = EM_PPC64;
#elif defined(__s390x__)
constexpr unsigned kMachine = EM_S390;
#elif defined(__loongarch__)
constexpr unsigned kMachine = 258;
#else
#error "which e_machine?"
#endif

const char *machine_name(unsigned machine) {
  switch (machine) {
    case EM_X86_64: return "x86-64";
    case EM_386: return "i386";
    case EM_AARCH64: return "aarch64";
    case EM_ARM: return "arm";
    case EM_RISCV: return "riscv";
    case EM_PPC64: return "ppc64";
    case EM_S390: return "s390";
    default: return "an unknown machine";
  }
}

uint64_t symbol_of(uint64_t info) { return sizeof(void *) == 8 ? info >> 32 : info >> 8; }

}  // namespace

template <class T>
bool Elf::get(uint64_t offset, T *ret) const {
  if (offset > size_ || size_ - offset < sizeof(T)) return false;
  std::memcpy(ret, data_ + offset, sizeof(T));
  return true;
}

void Elf::close() {
  if (data_) munmap(const_cast<char *>(data_), size_);
  data_ = nullptr;
}

Reading Elf::open(const std::string &path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return Reading::unreadable;
  struct stat s;
  if (fstat(fd, &s) || !S_ISREG(s.st_mode) || s.st_size < EI_NIDENT) {
    ::close(fd);
    return Reading::no_elf;
  }
  size_ = static_cast<uint64_t>(s.st_size);
  void *p = mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, fd, 0);
  const int saved = errno;
  ::close(fd);
  errno = saved;
  if (p == MAP_FAILED) return Reading::unreadable;
  data_ = static_cast<const char *>(p);
  if (std::memcmp(data_, ELFMAG, SELFMAG) != 0) return Reading::no_elf;
  // The first twenty bytes lie alike in all kinds, but for the byte order.
  std::memcpy(&head_, data_, size_ < sizeof head_ ? size_ : sizeof head_);
  if (head_.e_ident[EI_CLASS] != kClass || head_.e_ident[EI_DATA] != kOrder || head_.e_machine != kMachine)
    return Reading::foreign;
  return read_headers() ? Reading::good : Reading::broken;
}

bool Elf::read_headers() {
  if (size_ < sizeof head_ || head_.e_phentsize != sizeof(ElfW(Phdr))) return false;
  uint64_t dynamic_at = 0, dynamic_size = 0;
  for (unsigned i = 0; i < head_.e_phnum; ++i) {
    ElfW(Phdr) p = {};
    if (!get(head_.e_phoff + i * sizeof p, &p)) return false;
    if (p.p_type == PT_LOAD) loads_.push_back(p);
    if (p.p_type == PT_INTERP) interpreter_ = string_at(p.p_offset, p.p_filesz, 0);
    if (p.p_type != PT_DYNAMIC) continue;
    dynamic_ = true;
    dynamic_at = p.p_offset;
    dynamic_size = p.p_filesz;
  }
  if (dynamic_) read_dynamic(dynamic_at, dynamic_size);
  read_sections();
  return true;
}

uint64_t Elf::file_offset(uint64_t address) const {
  for (const auto &p : loads_) {
    if (address >= p.p_vaddr && address - p.p_vaddr < p.p_filesz) return p.p_offset + (address - p.p_vaddr);
  }
  return kNowhere;
}

std::string_view Elf::string_at(uint64_t table, uint64_t size, uint64_t offset) const {
  if (table > size_ || offset >= size || size > size_ - table) return {};
  const char *from = data_ + table + offset;
  return {from, strnlen(from, size - offset)};
}

void Elf::read_dynamic(uint64_t at, uint64_t size) {
  std::vector<ElfW(Dyn)> entries;
  ElfW(Dyn) d = {};
  for (uint64_t i = 0; i + sizeof d <= size && get(at + i, &d) && d.d_tag != DT_NULL; i += sizeof d) entries.push_back(d);
  const auto value = [&entries](int64_t tag) -> uint64_t {
    for (const auto &e : entries) {
      if (e.d_tag == tag) return e.d_un.d_val;
    }
    return 0;
  };
  exported_.strings = file_offset(value(DT_STRTAB));
  exported_.strings_size = value(DT_STRSZ);
  exported_.at = file_offset(value(DT_SYMTAB));
  // Nothing says how many symbols there are; linkers put the strings behind them. The sections know better.
  if (exported_.strings > exported_.at) exported_.count = (exported_.strings - exported_.at) / sizeof(ElfW(Sym));
  const auto text = [this](uint64_t offset) {
    return std::string(string_at(exported_.strings, exported_.strings_size, offset));
  };
  for (const auto &e : entries) {
    switch (e.d_tag) {
      case DT_NEEDED: needed_.push_back(text(e.d_un.d_val)); break;
      case DT_SONAME: soname_ = text(e.d_un.d_val); break;
      case DT_RPATH: rpath_ = text(e.d_un.d_val); break;
      case DT_RUNPATH: runpath_ = text(e.d_un.d_val); break;
      case DT_SYMBOLIC: symbolic_ = true; break;
      case DT_FLAGS: symbolic_ |= (e.d_un.d_val & DF_SYMBOLIC) != 0; break;
      case DT_FLAGS_1: flags1_ = e.d_un.d_val; break;
      default: break;
    }
  }
  relocations_[0] = {file_offset(value(DT_RELA)), value(DT_RELASZ), sizeof(ElfW(Rela))};
  relocations_[1] = {file_offset(value(DT_REL)), value(DT_RELSZ), sizeof(ElfW(Rel))};
  relocations_[2] = {file_offset(value(DT_JMPREL)), value(DT_PLTRELSZ),
                     value(DT_PLTREL) == DT_RELA ? sizeof(ElfW(Rela)) : sizeof(ElfW(Rel))};
}

void Elf::read_sections() {
  if (!head_.e_shoff || head_.e_shentsize != sizeof(ElfW(Shdr))) return;
  for (unsigned i = 0; i < head_.e_shnum; ++i) {
    ElfW(Shdr) s = {}, strings = {};
    if (!get(head_.e_shoff + i * sizeof s, &s)) return;
    if (s.sh_type != SHT_DYNSYM && s.sh_type != SHT_SYMTAB) continue;
    if (!get(head_.e_shoff + s.sh_link * sizeof s, &strings)) continue;
    Table &table = s.sh_type == SHT_DYNSYM ? exported_ : inner_;
    table.at = s.sh_offset;
    table.count = s.sh_size / sizeof(ElfW(Sym));
    table.strings = strings.sh_offset;
    table.strings_size = strings.sh_size;
  }
}

std::string_view Elf::symbol_name(const Table &table, uint64_t index) const {
  ElfW(Sym) s = {};
  if (index >= table.count || !get(table.at + index * sizeof s, &s)) return {};
  return string_at(table.strings, table.strings_size, s.st_name);
}

bool Elf::has(std::string_view name, Part part) const {
  const Table &table = part == Part::inner ? inner_ : exported_;
  ElfW(Sym) s = {};
  for (uint64_t i = 1; i < table.count && get(table.at + i * sizeof s, &s); ++i) {
    if ((s.st_shndx == SHN_UNDEF) != (part == Part::imported)) continue;
    if (string_at(table.strings, table.strings_size, s.st_name) == name) return true;
  }
  return false;
}

bool Elf::relocates_in(uint64_t at, uint64_t size, uint64_t entry, std::string_view name) const {
  ElfW(Rel) r = {};  // an ElfW(Rela) begins like it
  for (uint64_t i = 0; at != kNowhere && i + entry <= size && get(at + i, &r); i += entry) {
    if (symbol_name(exported_, symbol_of(r.r_info)) == name) return true;
  }
  return false;
}

bool Elf::relocates(std::string_view name) const {
  for (const auto &r : relocations_) {
    if (r.size && relocates_in(r.at, r.size, r.entry, name)) return true;
  }
  return false;
}

bool Elf::has_text(std::string_view text) const {
  return data_ && memmem(data_, size_, text.data(), text.size()) != nullptr;
}

std::string Elf::architecture() const {
  unsigned machine = head_.e_machine;
  if (head_.e_ident[EI_DATA] != kOrder) machine = (machine & 0xff) << 8 | machine >> 8;
  return std::string(machine_name(machine)) + (head_.e_ident[EI_CLASS] == ELFCLASS32 ? ", 32 bits" : ", 64 bits");
}

}  // namespace torque_tools
