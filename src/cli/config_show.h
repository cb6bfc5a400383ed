// The table of options as people and programs read it: what is in force, an env file to start from, a page of documentation.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "cli/config_load.h"

namespace boardbus::cli {

/// VARIABLE, VALUE and SOURCE in columns; secrets masked.
std::string settings_as_text(const std::vector<Setting>& settings);

/// {"ADVANCED_APP_PORT":{"value":"8004","source":"default"},…}; secrets masked.
std::string settings_as_json(const std::vector<Setting>& settings);

/// An env file with every variable and its default; what has no default is commented out.
std::string env_example();

/// The table for docs/: one Markdown table a section.
std::string options_as_markdown();

}  // namespace boardbus::cli
