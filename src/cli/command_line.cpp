// SPDX-License-Identifier: Apache-2.0
#include "cli/command_line.h"

#include <CLI/CLI.hpp>

#include <algorithm>
#include <filesystem>
#include <map>
#include <sstream>
#include <utility>

namespace boardbus::cli {
namespace {

constexpr const char* kDefaultEnvFile = ".env";

/// What CLI11 writes into while it parses.
struct Typed {
    std::map<std::string, std::string>
        options;  // Variable to text; the entries exist before the parse, so they stay in place.
    std::string env_file;
    bool json = false;
    bool env_example = false;
    bool markdown = false;
    std::string url;
    std::string board = "demo";
    std::string token;
    double timeout_seconds = 0;
    double wait_seconds = 0;
    std::string role = "app";
    bool live = false;
    DlqOptions dlq;
    std::string event_id;
    bool all = false;
    BenchLine bench;
};

std::string help_of(const Option& option) {
    std::string help(option.help);
    help += "\n" + variable_of(option) + ", default " +
            (option.value.empty() ? std::string(option.unset_means) : std::string(option.value)) +
            (option.unit.empty() || option.value.empty() ? "" : " " + std::string(option.unit));
    return help;
}

void add_table(CLI::App& command, unsigned bit, Typed& typed) {
    command.add_option("--env-file", typed.env_file, "Variables to start from, default ./.env when present")
        ->type_name("FILE");
    for (const auto& option : options_table()) {
        if ((option.commands & bit) == 0 && bit != static_cast<unsigned>(Command::config)) {
            continue;
        }
        command.add_option(flag_of(option), typed.options[variable_of(option)], help_of(option))
            ->group(std::string(option.section))
            ->type_name(option.unit.empty() ? "VALUE" : "NUMBER");
    }
}

CLI::App& add_command(CLI::App& root, const char* name, const char* help, Command command, Typed& typed) {
    auto& added = *root.add_subcommand(name, help);
    add_table(added, static_cast<unsigned>(command), typed);
    return added;
}

void add_dlq(CLI::App& root, Typed& typed) {
    using Action = DlqOptions::Action;
    auto& dlq = add_command(root, "dlq", "List, show, replay or purge dead letters", Command::dlq, typed);
    dlq.require_subcommand(1);
    const auto add = [&](const char* name, const char* help, Action action) {
        auto* sub = dlq.add_subcommand(name, help)->fallthrough();
        sub->callback([&typed, action] { typed.dlq.action = action; });
        return sub;
    };
    add("list", "The oldest dead letters, one a line", Action::list)
        ->add_option("--limit", typed.dlq.limit, "At most so many, default 100")
        ->type_name("NUMBER")
        ->check(CLI::Range(1, 100'000));
    add("show", "One dead letter with its body", Action::show)
        ->add_option("event_id", typed.event_id, "As `list` shows it")
        ->required();

    auto* replay = add("replay", "Send dead letters to the main exchange again", Action::replay);
    auto* replay_id = replay->add_option("event_id", typed.event_id, "As `list` shows it");
    replay->add_flag("--all", typed.all, "All that are there now")->excludes(replay_id);
    auto* purge = add("purge", "Remove dead letters for good", Action::purge);
    auto* purge_id = purge->add_option("event_id", typed.event_id, "As `list` shows it");
    purge->add_flag("--yes", typed.all, "All that are there now")->excludes(purge_id);
}

/// What CLI11 cannot say: one dead letter or, in so many words, all of them.
const char* dlq_problem(const Typed& typed) {
    if (!typed.event_id.empty() || typed.all) {
        return nullptr;
    }
    switch (typed.dlq.action) {
        case DlqOptions::Action::replay:
            return "dlq replay: an event_id or --all is required";
        case DlqOptions::Action::purge:
            return "dlq purge: an event_id or --yes, which removes all, is required";
        case DlqOptions::Action::show:
            return "dlq show: an event_id is required";
        case DlqOptions::Action::list:
            return nullptr;
    }
    return nullptr;
}

void add_commands(CLI::App& root, Typed& typed) {
    add_command(root, "app", "Serve browsers: HTTP, WebSocket and SSE", Command::app, typed);
    add_command(root, "worker", "Consume RabbitMQ and publish to Redis", Command::worker, typed);

    auto& demo =
        add_command(root, "demo", "Send one message through the whole pipeline and show it", Command::demo, typed);
    demo.add_option("--url", typed.url, "The app, default http://127.0.0.1 and the app's port")->type_name("URL");
    demo.add_option("--board", typed.board, "The board to write to, default demo")->type_name("BOARD");
    demo.add_option("--token", typed.token, "The same as --realtime-token")->type_name("TOKEN");
    demo.add_option("--timeout", typed.timeout_seconds, "Seconds to wait for the event, default 10")
        ->type_name("SECONDS")
        ->check(CLI::Range(0.1, 3600.0));

    add_dlq(root, typed);

    auto& health =
        add_command(root, "health", "Ask the local app or worker whether it is ready", Command::health, typed);
    health.add_option("--role", typed.role, "app or worker, default app")
        ->type_name("ROLE")
        ->check(CLI::IsMember({"app", "worker"}));
    health.add_option("--url", typed.url, "Ask there instead: http://host:port")->type_name("URL");
    health.add_flag("--live", typed.live, "Ask whether it lives (/healthz) instead of whether it is ready (/readyz)");
    health
        .add_option("--wait", typed.wait_seconds, "Ask again for so many seconds until the answer is good, default 0")
        ->type_name("SECONDS")
        ->check(CLI::Range(0.0, 3600.0));
    health.add_option("--timeout", typed.timeout_seconds, "Seconds to wait for the answer, default 3")
        ->type_name("SECONDS")
        ->check(CLI::Range(0.1, 3600.0));

    add_bench(root, typed.bench, typed.env_file, typed.token);

    auto& config =
        add_command(root, "config", "Show the configuration that is in force, secrets masked", Command::config, typed);
    auto* json = config.add_flag("--json", typed.json, "As JSON");
    auto* example =
        config.add_flag("--env-example", typed.env_example, "Print an env file with every variable and its default")
            ->excludes(json);
    config.add_flag("--markdown", typed.markdown, "Print the table for the documentation")
        ->excludes(json)
        ->excludes(example);

    root.add_subcommand("version", "Print version, compiler and build type");
}

/// Flags that were really given: CLI11 leaves the others untouched, but empty is also a value.
Variables given_flags(const CLI::App& command, Typed& typed) {
    Variables flags;
    for (const auto& option : options_table()) {
        const auto* flag = command.get_option_no_throw(flag_of(option));
        if (flag != nullptr && flag->count() > 0) {
            flags[variable_of(option)] = typed.options[variable_of(option)];
        }
    }
    const auto& innermost = command.get_subcommands().empty() ? command : *command.get_subcommands().front();
    if (const auto* token = innermost.get_option_no_throw("--token"); token != nullptr && token->count() > 0) {
        flags["ADVANCED_REALTIME_TOKEN"] = typed.token;
    }
    return flags;
}

Result<Variables> env_file_variables(const std::string& path) {
    if (!path.empty()) {
        return read_env_file(path);
    }
    std::error_code error;
    return std::filesystem::exists(kDefaultEnvFile, error) ? read_env_file(kDefaultEnvFile) : Variables();
}

/// Where a server that listens on `host` is reached from this machine.
std::string local_url(const std::string& host, unsigned port) {
    std::string reachable = host;
    if (host == "0.0.0.0") {
        reachable = "127.0.0.1";
    } else if (host == "::") {
        reachable = "::1";
    }
    return "http://" + (reachable.contains(':') ? "[" + reachable + "]" : reachable) + ":" + std::to_string(port);
}

ConfigForm form_of(const Typed& typed) {
    return typed.json          ? ConfigForm::json
           : typed.env_example ? ConfigForm::env_example
           : typed.markdown    ? ConfigForm::markdown
                               : ConfigForm::text;
}

void fill(Invocation& invocation, const Typed& typed) {
    const auto& config = invocation.loaded.config;
    const auto timeout = std::chrono::milliseconds(static_cast<std::int64_t>(typed.timeout_seconds * 1000));
    invocation.demo.board = typed.board;
    invocation.demo.token = config.web.token;
    invocation.demo.url = typed.url.empty() ? local_url(config.web.host, config.web.port) : typed.url;
    const std::string base = !typed.url.empty()       ? typed.url
                             : typed.role == "worker" ? local_url(config.worker.host, config.worker.port)
                                                      : local_url(config.web.host, config.web.port);
    invocation.health.url = base + (typed.live ? "/healthz" : "/readyz");
    if (typed.bench.chosen != nullptr) {
        invocation.bench = *typed.bench.chosen;
        invocation.bench.token = config.web.token;
    }
    invocation.dlq = typed.dlq;
    if (!typed.event_id.empty()) {
        invocation.dlq.event_id = typed.event_id;
    }
    invocation.health.wait = std::chrono::milliseconds(static_cast<std::int64_t>(typed.wait_seconds * 1000));
    if (timeout.count() > 0) {
        invocation.demo.timeout = timeout;
        invocation.health.timeout = timeout;
    }
}

Command command_of(const std::string& name) {
    static const std::map<std::string, Command> kCommands = {{"app", Command::app},         {"worker", Command::worker},
                                                             {"demo", Command::demo},       {"dlq", Command::dlq},
                                                             {"health", Command::health},   {"config", Command::config},
                                                             {"version", Command::version}, {"bench", Command::bench}};
    return kCommands.at(name);
}

/// As CLI11 takes them: from the back; and `--flag=`, which it does not know, as the flag and a blank value.
std::vector<std::string> for_cli11(const std::vector<std::string>& arguments) {
    std::vector<std::string> reversed;
    for (auto argument = arguments.rbegin(); argument != arguments.rend(); ++argument) {
        if (argument->starts_with("--") && argument->ends_with('=')) {
            reversed.insert(reversed.end(), {"", argument->substr(0, argument->size() - 1)});
        } else {
            reversed.push_back(*argument);
        }
    }
    return reversed;
}

Ending wrong(const std::string& why) {
    return {2, "boardbus: " + why + "\n"};
}

}  // namespace

std::variant<Invocation, Ending> read_command_line(const std::vector<std::string>& arguments,
                                                   const Variables& environment) {
    Typed typed;
    CLI::App root("boardbus: a durable realtime message bus for shared boards", "boardbus");
    root.require_subcommand(1);
    root.get_formatter()->column_width(48);
    add_commands(root, typed);
    try {
        root.parse(for_cli11(arguments));
    } catch (const CLI::Success&) {
        return Ending{0, root.help()};
    } catch (const CLI::ParseError& error) {
        return wrong(std::string(error.what()) + "; see --help");
    }

    const auto& chosen = *root.get_subcommands().front();
    Invocation invocation;
    invocation.command = command_of(chosen.get_name());
    if (invocation.command == Command::version) {
        return invocation;
    }
    if (const char* problem = dlq_problem(typed); problem != nullptr && invocation.command == Command::dlq) {
        return wrong(problem);
    }
    if (typed.bench.chosen != nullptr) {
        if (const auto problem = bench_problem(*typed.bench.chosen)) {
            return wrong("bench " + name_of(typed.bench.chosen->load) + ": " + *problem);
        }
    }
    invocation.config_form = form_of(typed);
    if (invocation.config_form == ConfigForm::env_example || invocation.config_form == ConfigForm::markdown) {
        return invocation;  // The table alone; whatever the environment says does not matter.
    }
    auto env_file = env_file_variables(typed.env_file);
    if (!env_file) {
        return wrong(env_file.error().detail);
    }
    auto loaded = load_config({std::move(*env_file), environment, given_flags(chosen, typed)}, invocation.command);
    if (!loaded) {
        return wrong(loaded.error().detail);
    }
    invocation.loaded = std::move(*loaded);
    fill(invocation, typed);
    return invocation;
}

}  // namespace boardbus::cli
