// SPDX-License-Identifier: Apache-2.0
#include "cli/command_line.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>
#include <map>

namespace boardbus::cli {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
using testing::Not;

using Read = std::variant<Invocation, Ending>;

Read read(std::vector<std::string> arguments, const Variables& environment = {}) {
    return read_command_line(arguments, environment);
}

Invocation invoked(std::vector<std::string> arguments, const Variables& environment = {}) {
    auto result = read(std::move(arguments), environment);
    if (auto* ending = std::get_if<Ending>(&result)) {
        ADD_FAILURE() << ending->text;
        return {};
    }
    return std::get<Invocation>(std::move(result));
}

Ending ended(std::vector<std::string> arguments, const Variables& environment = {}) {
    auto result = read(std::move(arguments), environment);
    if (std::holds_alternative<Invocation>(result)) {
        ADD_FAILURE() << "accepted";
        return {};
    }
    return std::get<Ending>(std::move(result));
}

TEST(CommandLine, FlagsBeatTheEnvironmentAndTheFile) {
    const std::string path = testing::TempDir() + "command_line.env";
    std::ofstream(path) << "ADVANCED_APP_PORT=1\nADVANCED_APP_HOST=::1\nADVANCED_THREADS=3\n";

    const auto invocation = invoked({"app", "--env-file", path, "--app-port", "3", "--rate-limit-default="},
                                    {{"ADVANCED_APP_PORT", "2"}, {"ADVANCED_APP_HOST", "127.0.0.1"}});
    std::remove(path.c_str());

    EXPECT_EQ(invocation.command, Command::app);
    EXPECT_EQ(invocation.loaded.config.web.port, 3);
    EXPECT_EQ(invocation.loaded.config.web.host, "127.0.0.1");
    EXPECT_EQ(invocation.loaded.config.threads, 3U);
    EXPECT_FALSE(invocation.loaded.config.web.default_rate_limit);
}

TEST(CommandLine, ValuesArriveAsTyped) {
    const auto invocation = invoked({"app", "--allowed-origins", R"(["https://a","https://b"])", "--project-name",
                                     "a, [b]", "--content-security-policy", "default-src 'self'"});

    EXPECT_EQ(invocation.loaded.config.web.cors.allowed_origins.size(), 2U);
    EXPECT_EQ(invocation.loaded.config.web.project_name, "a, [b]");
    EXPECT_EQ(invocation.loaded.config.web.security.content_security_policy, "default-src 'self'");
}

TEST(CommandLine, WhatIsWrongEndsWithTwo) {
    const std::vector<std::vector<std::string>> lines = {
        {},
        {"serve"},
        {"app", "--no-such-flag", "1"},
        {"app", "--app-port"},
        {"app", "--app-port", "1", "--app-port", "2"},
        {"app", "extra"},
        {"app", "--app-port", "x"},
        {"worker", "--app-port", "1"},
        {"app", "--env-file", "/nonexistent/.env"},
        {"config", "--json", "--markdown"},
        {"health", "--role", "broker"},
        {"demo", "--timeout", "0"},
        {"dlq"},
        {"dlq", "show"},
        {"dlq", "replay"},
        {"dlq", "purge"},
        {"dlq", "purge", "id", "--yes"},
        {"dlq", "list", "--limit", "0"},
        {"bench"},
        {"bench", "flood"},
        {"bench", "fanout", "--rate", "-1"},
        {"bench", "fanout", "--rate", "many"},
        {"bench", "fanout", "--duration", "0"},
        {"bench", "fanout", "--payload", "10"},
        {"bench", "fanout", "--connections", "10"},
        {"bench", "fanout", "--boards", "2"},
        {"bench", "fanout", "--subscribers", "1", "--boards", "2", "--publishers", "2"},
        {"bench", "fanout", "--subscribers", "1000000", "--publishers", "5"},
        {"bench", "fanout", "--board", "a/b"},
        {"bench", "fanout", "--board="},
        {"bench", "fanout", "--token", "two words"},
        {"bench", "pipeline", "--window", "0"},
        {"bench", "connect", "--subscribers", "10"},
        {"bench", "connect", "--hold", "-1"},
        {"bench", "connect", "extra"},
    };
    for (const auto& line : lines) {
        const auto ending = ended(line);

        EXPECT_EQ(ending.exit_code, 2) << testing::PrintToString(line);
        EXPECT_THAT(ending.text, testing::StartsWith("boardbus: "));
        EXPECT_EQ(std::count(ending.text.begin(), ending.text.end(), '\n'), 1) << ending.text;
    }
}

TEST(CommandLine, HelpOfACommandHasExactlyItsOptions) {
    const auto app = ended({"app", "--help"});
    const auto worker = ended({"worker", "--help"});

    EXPECT_EQ(app.exit_code, 0);
    for (const auto& option : options_table()) {
        const bool in_app = (option.commands & static_cast<unsigned>(Command::app)) != 0;
        EXPECT_EQ(app.text.contains(flag_of(option) + " "), in_app) << option.name;
        EXPECT_EQ(app.text.contains(variable_of(option) + ","), in_app) << option.name;
    }
    EXPECT_THAT(app.text, HasSubstr("ADVANCED_APP_PORT, default 8004"));
    EXPECT_THAT(worker.text, HasSubstr("--rabbitmq-prefetch-count"));
    EXPECT_THAT(worker.text, Not(HasSubstr("--app-port")));
}

TEST(CommandLine, HelpListsOnlyWhatIsThere) {
    const auto help = ended({"--help"});

    EXPECT_EQ(help.exit_code, 0);
    EXPECT_THAT(help.text, HasSubstr("worker"));
    EXPECT_THAT(help.text, HasSubstr("bench"));
    EXPECT_THAT(help.text, Not(HasSubstr("doctor")));
}

TEST(CommandLine, VersionAndTheTableNeedNoConfiguration) {
    const Variables broken = {{"ADVANCED_APP_PORT", "x"}};

    EXPECT_EQ(invoked({"version"}, broken).command, Command::version);
    EXPECT_EQ(invoked({"config", "--env-example"}, broken).config_form, ConfigForm::env_example);
    EXPECT_EQ(invoked({"config", "--markdown"}, broken).config_form, ConfigForm::markdown);
    EXPECT_EQ(ended({"config"}, broken).exit_code, 2);
}

TEST(CommandLine, DemoFindsTheLocalApp) {
    const auto plain = invoked({"demo"}, {{"ADVANCED_APP_PORT", "81"}, {"ADVANCED_REALTIME_TOKEN", "t"}});
    const auto typed = invoked({"demo", "--url", "http://h:1", "--token", "u", "--board", "b", "--timeout", "0.5"});

    EXPECT_EQ(plain.demo.url, "http://127.0.0.1:81");
    EXPECT_EQ(plain.demo.token, "t");
    EXPECT_EQ(plain.demo.timeout, 10s);
    EXPECT_EQ(typed.demo.url, "http://h:1");
    EXPECT_EQ(typed.demo.token, "u");
    EXPECT_EQ(typed.demo.board, "b");
    EXPECT_EQ(typed.demo.timeout, 500ms);
}

TEST(CommandLine, DlqTakesOneOrSaysAll) {
    using Action = DlqOptions::Action;
    const auto list = invoked({"dlq", "list", "--limit", "7", "--rabbitmq-dlq-queue", "q"});
    const auto show = invoked({"dlq", "show", "id"});
    const auto replay = invoked({"dlq", "replay", "--all"});
    const auto purge = invoked({"dlq", "--rabbitmq-dlq-queue", "q", "purge", "id"});

    EXPECT_EQ(list.command, Command::dlq);
    EXPECT_EQ(list.dlq.action, Action::list);
    EXPECT_EQ(list.dlq.limit, 7U);
    EXPECT_EQ(list.loaded.config.rabbitmq.topology.dlq.queue, "q");
    EXPECT_EQ(show.dlq.action, Action::show);
    EXPECT_EQ(show.dlq.event_id, "id");
    EXPECT_EQ(replay.dlq.action, Action::replay);
    EXPECT_EQ(replay.dlq.event_id, std::nullopt);
    EXPECT_EQ(purge.dlq.action, Action::purge);
    EXPECT_EQ(purge.dlq.event_id, "id");
    EXPECT_EQ(purge.loaded.config.rabbitmq.topology.dlq.queue, "q");
}

TEST(CommandLine, EachLoadHasItsOwnOptionsAndDefaults) {
    using Load = BenchOptions::Load;
    const auto fanout = invoked({"bench", "fanout", "--sse", "--boards", "3", "--publishers", "3", "--rate", "2.5"});
    const auto pipeline =
        invoked({"bench", "pipeline", "--json"}, {{"ADVANCED_REALTIME_TOKEN", "from-the-environment"}});
    const auto connect = invoked({"bench", "connect", "--connections", "7", "--hold", "0.5", "--token", "typed"},
                                 {{"ADVANCED_REALTIME_TOKEN", "from-the-environment"}});

    EXPECT_EQ(fanout.command, Command::bench);
    EXPECT_EQ(fanout.bench.load, Load::fanout);
    EXPECT_EQ(fanout.bench.url, "http://127.0.0.1:8004");
    EXPECT_EQ(fanout.bench.subscribers, 1000U);
    EXPECT_EQ(fanout.bench.boards, 3U);
    EXPECT_EQ(fanout.bench.rate, 2.5);
    EXPECT_TRUE(fanout.bench.sse);
    EXPECT_EQ(pipeline.bench.load, Load::pipeline);
    EXPECT_EQ(pipeline.bench.rate, 0);
    EXPECT_EQ(pipeline.bench.publishers, 4U);
    EXPECT_EQ(pipeline.bench.token, "from-the-environment");
    EXPECT_TRUE(pipeline.bench.json);
    EXPECT_EQ(connect.bench.load, Load::connect);
    EXPECT_EQ(connect.bench.connections, 7U);
    EXPECT_EQ(connect.bench.hold, 0.5);
    EXPECT_EQ(connect.bench.token, "typed");
}

TEST(CommandLine, HelpOfALoadNamesEveryDefault) {
    for (const auto& [load, words] : std::map<std::string, std::vector<std::string>>{
             {"fanout", {"--subscribers", "default 1000", "--sse", "--rate", "default 100", "--drain", "--env-file"}},
             {"pipeline", {"--window", "default 64", "--payload", "default 128", "--url", "--token"}},
             {"connect", {"--connections", "--hold", "default 5", "--handshakes", "--progress", "--json"}}}) {
        const auto help = ended({"bench", load, "--help"});

        EXPECT_EQ(help.exit_code, 0);
        for (const auto& word : words) {
            EXPECT_THAT(help.text, HasSubstr(word)) << load;
        }
    }
}

TEST(CommandLine, HealthAsksTheRoleWhereItListens) {
    EXPECT_EQ(invoked({"health"}).health.url, "http://127.0.0.1:8004/readyz");
    EXPECT_EQ(invoked({"health", "--role", "worker", "--live"}).health.url, "http://127.0.0.1:8005/healthz");
    EXPECT_EQ(invoked({"health", "--url", "http://h:1"}).health.url, "http://h:1/readyz");
    EXPECT_EQ(invoked({"health"}, {{"ADVANCED_APP_HOST", "::"}}).health.url, "http://[::1]:8004/readyz");
}

}  // namespace
}  // namespace boardbus::cli
