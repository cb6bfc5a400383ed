// Env files: NAME=value, one a line, as Docker Compose and python-dotenv read them, but nothing is ever interpolated.
//
//     # comment
//     export ADVANCED_APP_PORT=8004        # comment after a blank
//     ADVANCED_PROJECT_NAME="My \"board\"\n"   escapes: \n \r \t \" \\ \$
//     ADVANCED_REALTIME_TOKEN='as it stands: \n $x #'
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "base/result.h"

namespace boardbus::cli {

using Variables = std::map<std::string, std::string, std::less<>>;

/// All variables in the text; of a name that comes twice, the last.
/// Errors: invalid, with the number of the line and what is wrong, never its content.
Result<Variables> parse_env_file(std::string_view text);

/// Reads at most 1 MiB. Errors: unavailable (it cannot be read), invalid.
Result<Variables> read_env_file(const std::string& path);

}  // namespace boardbus::cli
