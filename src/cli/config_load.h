// From flags, environment, env file and defaults to one checked Config.
//
// Everything is checked, whichever command runs: one environment is often shared by app and worker, and a typing error should not wait
// for the other's start. Pure, except for the certificate files that it looks for. Spec: CONTRACT §8.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "cli/config.h"
#include "cli/config_env_file.h"
#include "cli/options_table.h"

namespace boardbus::cli {

enum class Source { built_in, env_file, environment, flag };

std::string name_of(Source source);

/// Where values come from, in rising precedence. Names are whole variables (ADVANCED_APP_PORT); others are ignored.
struct ConfigSources {
    Variables env_file;
    Variables environment;
    Variables flags;
};

/// The value of one option that won.
struct Setting {
    const Option* option = nullptr;
    std::string text;
    Source source = Source::built_in;
};

struct LoadedConfig {
    Config config;
    std::vector<Setting> settings;      ///< In the order of the table.
    std::vector<std::string> warnings;  ///< One line each.
};

/// Errors: invalid, one line that names the variable, the value (masked if secret) and what is allowed.
Result<LoadedConfig> load_config(const ConfigSources& sources, Command command);

}  // namespace boardbus::cli
