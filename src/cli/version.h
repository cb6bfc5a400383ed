// Which build this is.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

namespace boardbus::cli {

/// 0.1.0, from CMakeLists.txt.
std::string_view version();

/// One line: version, compiler, build type.
std::string version_line();

}  // namespace boardbus::cli
