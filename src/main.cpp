// boardbus: reads the command line, runs one command, and is the only place that chooses exit codes
// (0 good, 1 not, 2 the line or the configuration is wrong).
// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <exception>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "cli/command_line.h"
#include "cli/config_show.h"
#include "cli/process.h"
#include "cli/version.h"

namespace {

using namespace boardbus;

cli::Variables our_environment() {
    cli::Variables variables;
    for (char** entry = environ; *entry != nullptr; ++entry) {
        const std::string_view text(*entry);
        if (const auto equals = text.find('='); text.starts_with(cli::kVariablePrefix) && equals != text.npos) {
            variables.emplace(text.substr(0, equals), text.substr(equals + 1));
        }
    }
    return variables;
}

std::string shown_config(const cli::Invocation& invocation) {
    switch (invocation.config_form) {
        case cli::ConfigForm::text:
            return cli::settings_as_text(invocation.loaded.settings);
        case cli::ConfigForm::json:
            return cli::settings_as_json(invocation.loaded.settings);
        case cli::ConfigForm::env_example:
            return cli::env_example();
        case cli::ConfigForm::markdown:
            return cli::options_as_markdown();
    }
    return {};
}

int run(const cli::Invocation& invocation) {
    cli::begin_log(invocation.loaded);
    switch (invocation.command) {
        case cli::Command::app:
            return cli::run_app(invocation.loaded.config);
        case cli::Command::worker:
            return cli::run_worker(invocation.loaded.config);
        case cli::Command::demo:
            return cli::run_demo(invocation.demo);
        case cli::Command::dlq:
            return cli::run_dlq(invocation.loaded.config, invocation.dlq);
        case cli::Command::health:
            return cli::run_health(invocation.health);
        case cli::Command::bench:
            return cli::run_bench(invocation.bench);
        case cli::Command::config:
            std::fputs(shown_config(invocation).c_str(), stdout);
            return 0;
        case cli::Command::version:
            std::puts(cli::version_line().c_str());
            return 0;
    }
    return 1;
}

}  // namespace

int main(int argc, char** argv) {
    std::signal(SIGPIPE, SIG_IGN);  // A peer that went away is an error of that write, not the end of the process.
    try {
        const auto read = cli::read_command_line(std::vector<std::string>(argv + 1, argv + argc), our_environment());
        if (const auto* ending = std::get_if<cli::Ending>(&read)) {
            std::fputs(ending->text.c_str(), ending->exit_code == 0 ? stdout : stderr);
            return ending->exit_code;
        }
        return run(std::get<cli::Invocation>(read));
    } catch (const std::exception& error) {
        std::fprintf(stderr, "boardbus: %s\n", error.what());
        return 1;
    }
}
