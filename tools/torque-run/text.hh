// SPDX-License-Identifier: BSD-3-Clause
// Text as people and shells read it. Names of files may hold anything, so nothing of theirs is printed as it is.
#pragma once

#include <string>
#include <string_view>

namespace torque_tools {

// As a POSIX shell reads it; control characters as $'\n'.
std::string quoted(std::string_view text);
std::string json(std::string_view text);

std::string_view base_name(std::string_view path);
std::string directory(std::string_view path);  // "." where there is none
std::string real_path(const std::string &path);  // the path itself where there is no such file

}  // namespace torque_tools
