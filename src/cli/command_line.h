// The command line: which command, with what.
//
// Flags come from options_table(), so a command has exactly the flags that it uses. Nothing here writes or exits; main does.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <variant>
#include <vector>

#include "cli/commands.h"
#include "cli/config_env_file.h"
#include "cli/config_load.h"

namespace boardbus::cli {

enum class ConfigForm { text, json, env_example, markdown };

/// A command that is ready to run.
struct Invocation {
    Command command = Command::version;
    LoadedConfig loaded;
    ConfigForm config_form = ConfigForm::text;
    DemoOptions demo;
    DlqOptions dlq;
    HealthOptions health;
    BenchOptions bench;
};

/// There is nothing to run: help was asked for (0) or the line or a value is wrong (2).
struct Ending {
    int exit_code = 0;
    std::string text;
};

/// `arguments` without the program's name; `environment` as the process has it. Reads the env file.
std::variant<Invocation, Ending> read_command_line(const std::vector<std::string>& arguments,
                                                   const Variables& environment);

}  // namespace boardbus::cli
