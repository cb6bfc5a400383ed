// SPDX-License-Identifier: Apache-2.0
#include "cli/version.h"

namespace boardbus::cli {

std::string_view version() {
    return BOARDBUS_VERSION;
}

std::string version_line() {
#if defined(__clang__)
    const std::string compiler = "clang " __clang_version__;
#else
    const std::string compiler = "g++ " __VERSION__;
#endif
    return "boardbus " BOARDBUS_VERSION " (" + compiler + ", " BOARDBUS_BUILD_TYPE ")";
}

}  // namespace boardbus::cli
