// SPDX-License-Identifier: Apache-2.0
#include "cli/config_show.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "board/json.h"

namespace boardbus::cli {
namespace {

using testing::HasSubstr;
using testing::Not;

std::vector<Setting> settings_with_secrets() {
    Variables environment = {{"ADVANCED_REALTIME_TOKEN", "SECRET"},
                             {"ADVANCED_RABBITMQ_URL", "amqp://joe:SECRET@h1/,amqp://joe:SECRET@h2/"},
                             {"ADVANCED_REDIS_URL", "redis://:SECRET@h3/0"},
                             {"ADVANCED_PROJECT_NAME", "\"quoted\" \xE2\x80\xA8"}};
    return load_config({.env_file = {}, .environment = environment, .flags = {}}, Command::app)->settings;
}

TEST(ConfigShow, MasksSecretsInBothForms) {
    const auto settings = settings_with_secrets();

    for (const auto& text : {settings_as_text(settings), settings_as_json(settings)}) {
        EXPECT_THAT(text, Not(HasSubstr("SECRET")));
        EXPECT_THAT(text, HasSubstr("amqp://joe:***@h1/,amqp://joe:***@h2/"));
        EXPECT_THAT(text, HasSubstr("redis://:***@h3/0"));
    }
}

TEST(ConfigShow, TheTextNamesEverySource) {
    const auto text = settings_as_text(settings_with_secrets());

    EXPECT_THAT(text, testing::ContainsRegex("ADVANCED_REALTIME_TOKEN +\\*\\*\\* +environment\n"));
    EXPECT_THAT(text, testing::ContainsRegex("ADVANCED_APP_PORT +8004 +default\n"));
    EXPECT_THAT(text, testing::ContainsRegex("ADVANCED_THREADS +\\(unset: one per core\\) +default\n"));
    EXPECT_THAT(text, testing::ContainsRegex("ADVANCED_REDIS_IDEMPOTENCY_TTL_SECONDS +430 seconds +default\n"));
}

TEST(ConfigShow, TheJsonIsJson) {
    const auto json = settings_as_json(settings_with_secrets());

    EXPECT_TRUE(board::json::is_valid(json)) << json;
    EXPECT_THAT(json, HasSubstr(R"("ADVANCED_THREADS":{"value":null,"source":"default"})"));
}

TEST(ConfigShow, TheEnvExampleChangesNothingAndShowsTheDefaults) {
    auto example = env_example();
    EXPECT_THAT(*parse_env_file(example), testing::IsEmpty());

    for (auto at = example.find("#ADVANCED_"); at != example.npos; at = example.find("#ADVANCED_")) {
        example.erase(at, 1);
    }
    const auto variables = parse_env_file(example);

    ASSERT_TRUE(variables) << variables.error().detail;
    for (const auto& option : options_table()) {
        EXPECT_THAT(example, HasSubstr(variable_of(option) + "="));
        const auto found = variables->find(variable_of(option));
        EXPECT_EQ(found == variables->end() ? "" : found->second, option.value) << option.name;
    }
    EXPECT_TRUE(load_config({.env_file = *variables, .environment = {}, .flags = {}}, Command::app));
}

TEST(ConfigShow, TheMarkdownHasARowForEveryOption) {
    const auto markdown = options_as_markdown();

    for (const auto& option : options_table()) {
        EXPECT_THAT(markdown, HasSubstr("| `" + variable_of(option) + "` | `" + flag_of(option) + "` | "));
    }
}

TEST(OptionsTable, NamesAreUniqueAndEveryRowHasHelp) {
    std::set<std::string_view> names;
    for (const auto& option : options_table()) {
        EXPECT_TRUE(names.insert(option.name).second) << option.name;
        EXPECT_TRUE(option.help.ends_with('.')) << option.name;
        EXPECT_NE(option.commands, 0U) << option.name;
        EXPECT_EQ(option.value.empty(), option.value.empty() && !option.unset_means.empty()) << option.name;
    }
}

}  // namespace
}  // namespace boardbus::cli
