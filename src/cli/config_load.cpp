// SPDX-License-Identifier: Apache-2.0
#include "cli/config_load.h"

#include <algorithm>
#include <numeric>
#include <optional>
#include <utility>

#include "telemetry/log_line.h"

namespace boardbus::cli {
namespace {

/// ADVANCED_APP_PORT="x" (environment): the start of every complaint. The value is escaped, so that it stays one line.
std::string described(const Setting& setting) {
    std::string text = variable_of(*setting.option) + "=\"";
    telemetry::append_json_escaped(text, shown(*setting.option, setting.text));
    return text + "\" (" + name_of(setting.source) + ")";
}

Setting winner(const Option& option, const ConfigSources& sources) {
    const std::string variable = variable_of(option);
    const std::pair<const Variables&, Source> layers[] = {{sources.flags, Source::flag},
                                                          {sources.environment, Source::environment},
                                                          {sources.env_file, Source::env_file}};
    for (const auto& [variables, source] : layers) {
        if (const auto found = variables.find(variable); found != variables.end()) {
            return {&option, found->second, source};
        }
    }
    return {&option, std::string(option.value), Source::built_in};
}

std::optional<std::string> apply(const Setting& setting, Config& config) {
    const auto& option = *setting.option;
    Complaint complaint = "it must not be blank";
    if (!setting.text.empty() || !option.unset_means.empty()) {
        complaint = option.rule.set(config, setting.text);
    }
    if (!complaint) {
        return std::nullopt;
    }
    const std::string unset = option.unset_means.empty() ? "" : ", or blank (" + std::string(option.unset_means) + ")";
    return described(setting) + ": " + (complaint->empty() ? "" : *complaint + "; ") +
           "allowed: " + option.rule.allowed + unset;
}

/// Insertions, deletions and replacements that turn `a` into `b` (Levenshtein).
std::size_t distance(std::string_view a, std::string_view b) {
    std::vector<std::size_t> row(b.size() + 1);
    std::iota(row.begin(), row.end(), 0U);
    for (std::size_t i = 1; i <= a.size(); ++i) {
        std::size_t diagonal = std::exchange(row[0], i);
        for (std::size_t j = 1; j <= b.size(); ++j) {
            const std::size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
            diagonal = row[j];
            row[j] = std::min({row[j] + 1, row[j - 1] + 1, replaced});
        }
    }
    return row.back();
}

void warn_unknown(const Variables& variables, Source source, std::vector<std::string>& warnings) {
    constexpr std::size_t kNameMost = 64;  // Longer than every option; keeps distance() cheap.
    for (const auto& [variable, value] : variables) {
        if (!variable.starts_with(kVariablePrefix)) {
            continue;
        }
        const auto name = std::string_view(variable).substr(kVariablePrefix.size());
        const auto& table = options_table();
        if (std::ranges::find(table, name, &Option::name) != table.end()) {
            continue;
        }
        const auto short_name = name.substr(0, kNameMost);
        const auto nearest = std::ranges::min_element(
            table, {}, [&](const Option& option) { return distance(short_name, option.name); });
        std::string warning = "unknown variable ";
        telemetry::append_json_escaped(warning, variable.substr(0, kVariablePrefix.size() + kNameMost));
        warnings.push_back(warning + " (" + name_of(source) + ") is ignored; the nearest name is " +
                           variable_of(*nearest));
    }
}

/// What no single row can check.
std::optional<std::string> contradiction(const Config& config) {
    if (config.web.reconnect_max_delay < config.web.reconnect_initial_delay) {
        return "ADVANCED_RECONNECT_MAX_DELAY_SECONDS is below ADVANCED_RECONNECT_INITIAL_DELAY_SECONDS; allowed: at "
               "least as long";
    }
    if (config.rabbitmq.urls.empty()) {
        return "ADVANCED_RABBITMQ_URL holds no URL; allowed: at least one";
    }
    if (config.rabbitmq.tls.cert_file.empty() != config.rabbitmq.tls.key_file.empty()) {
        return "ADVANCED_RABBITMQ_CERT_FILE and ADVANCED_RABBITMQ_KEY_FILE; allowed: both or none";
    }
    if (config.redis.tls.cert_file.empty() != config.redis.tls.key_file.empty()) {
        return "ADVANCED_REDIS_CERT_FILE and ADVANCED_REDIS_KEY_FILE; allowed: both or none";
    }
    // The first pair of braces in a key would decide where it is, and the channel's name stands between ours.
    if (config.redis.url.is_cluster() &&
        (config.redis.activity_channel + config.redis.idempotency_prefix).find_first_of("{}") != std::string::npos) {
        return "ADVANCED_ACTIVITY_CHANNEL or ADVANCED_REDIS_IDEMPOTENCY_PREFIX holds a brace; allowed: none with a "
               "redis+cluster:// URL";
    }
    return std::nullopt;
}

/// Computes the life of idempotency keys when it is unset; warns when it is set too short.
void settle_idempotency_ttl(LoadedConfig& loaded) {
    auto& ttl = loaded.config.redis.idempotency_ttl;
    const auto& retry = loaded.config.rabbitmq.retry;
    if (ttl == std::chrono::seconds(0)) {
        ttl = retry.idempotency_ttl();
        const auto setting = std::ranges::find(loaded.settings, "REDIS_IDEMPOTENCY_TTL_SECONDS",
                                               [](const Setting& each) { return each.option->name; });
        setting->text = std::to_string(ttl.count());
    } else if (ttl < retry.horizon()) {
        loaded.warnings.push_back("ADVANCED_REDIS_IDEMPOTENCY_TTL_SECONDS=" + std::to_string(ttl.count()) +
                                  " is shorter than the retry horizon of " + std::to_string(retry.horizon().count()) +
                                  " s: a late retry may publish an event twice");
    }
}

void warn_about_values(const LoadedConfig& loaded, Command command, std::vector<std::string>& warnings) {
    if (command == Command::app && loaded.config.web.token == web::kDefaultToken) {
        warnings.push_back("ADVANCED_REALTIME_TOKEN is the default that everybody knows; set your own");
    }
}

}  // namespace

std::string name_of(Source source) {
    switch (source) {
        case Source::built_in:
            return "default";
        case Source::env_file:
            return "env file";
        case Source::environment:
            return "environment";
        case Source::flag:
            return "flag";
    }
    return "";
}

Result<LoadedConfig> load_config(const ConfigSources& sources, Command command) {
    LoadedConfig loaded;
    for (const auto& option : options_table()) {
        loaded.settings.push_back(winner(option, sources));
        if (auto problem = apply(loaded.settings.back(), loaded.config)) {
            return fail(Errc::invalid, std::move(*problem));
        }
    }
    if (auto problem = contradiction(loaded.config)) {
        return fail(Errc::invalid, std::move(*problem));
    }
    warn_unknown(sources.environment, Source::environment, loaded.warnings);
    warn_unknown(sources.env_file, Source::env_file, loaded.warnings);
    settle_idempotency_ttl(loaded);
    warn_about_values(loaded, command, loaded.warnings);
    return loaded;
}

}  // namespace boardbus::cli
