// SPDX-License-Identifier: Apache-2.0
#include "cli/config_show.h"

#include <algorithm>
#include <string_view>

#include "telemetry/log_line.h"

namespace boardbus::cli {
namespace {

/// One line whatever the value holds.
std::string escaped(std::string_view text) {
    std::string out;
    telemetry::append_json_escaped(out, text);
    return out;
}

std::string quoted(std::string_view text) {
    return '"' + escaped(text) + '"';
}

std::string with_unit(const Option& option, std::string_view text) {
    return std::string(text) + (option.unit.empty() || text.empty() ? "" : " " + std::string(option.unit));
}

/// For an env file: in quotes when blanks, quotes or # would be misread. Our defaults hold no $ and no backslash.
std::string env_value(std::string_view text) {
    return text.find_first_of(" #'\"") == std::string_view::npos ? std::string(text) : '"' + std::string(text) + '"';
}

std::string markdown_cell(std::string_view text) {
    std::string out;
    for (const char c : text) {
        out += c == '|' ? "\\|" : std::string(1, c);
    }
    return out;
}

std::string markdown_default(const Option& option) {
    if (option.value.empty()) {
        return "unset: " + std::string(option.unset_means);
    }
    return "`" + std::string(option.value) + "`";
}

std::string allowed_words(const Option& option) {
    return option.rule.allowed + (option.unit.empty() ? "" : " (" + std::string(option.unit) + ")") +
           (option.unset_means.empty() ? "" : "; blank: " + std::string(option.unset_means));
}

}  // namespace

std::string settings_as_text(const std::vector<Setting>& settings) {
    std::size_t variable_width = 0;
    std::size_t value_width = 0;
    std::vector<std::pair<std::string, std::string>> cells;
    for (const auto& setting : settings) {
        auto value = setting.text.empty() ? "(unset: " + std::string(setting.option->unset_means) + ")"
                                          : escaped(with_unit(*setting.option, shown(*setting.option, setting.text)));
        cells.emplace_back(variable_of(*setting.option), std::move(value));
        variable_width = std::max(variable_width, cells.back().first.size());
        // One long policy must not push the sources off the screen.
        value_width = std::max(value_width, std::min<std::size_t>(cells.back().second.size(), 60));
    }
    std::string out;
    for (std::size_t i = 0; i < settings.size(); ++i) {
        auto [variable, value] = cells[i];
        variable.resize(variable_width, ' ');
        value.resize(std::max(value_width, value.size()), ' ');
        out += variable.append("  ").append(value).append("  ").append(name_of(settings[i].source)).append("\n");
    }
    return out;
}

std::string settings_as_json(const std::vector<Setting>& settings) {
    std::string out = "{";
    for (const auto& setting : settings) {
        out += out.size() > 1 ? ",\n " : "\n ";
        out += quoted(variable_of(*setting.option)) +
               ":{\"value\":" + (setting.text.empty() ? "null" : quoted(shown(*setting.option, setting.text))) +
               ",\"source\":" + quoted(name_of(setting.source)) + "}";
    }
    return out + "\n}\n";
}

std::string env_example() {
    std::string out =
        "# Every variable of boardbus with its default. Copy to .env and take the # from what you change.\n"
        "# Precedence: flag, environment, this file, default. `boardbus config` shows what is in force.\n";
    std::string_view section;
    for (const auto& option : options_table()) {
        if (option.section != section) {
            section = option.section;
            out += "\n# " + std::string(section) + "\n";
        }
        out += "\n# " + std::string(option.help) + " Allowed: " + allowed_words(option) + ".\n";
        out += "#" + variable_of(option) + "=" + env_value(option.value) + "\n";
    }
    return out;
}

std::string options_as_markdown() {
    std::string out;
    std::string_view section;
    for (const auto& option : options_table()) {
        if (option.section != section) {
            section = option.section;
            out += (out.empty() ? "### " : "\n### ") + std::string(section) +
                   "\n\n| Variable | Flag | Default | Allowed | Meaning |\n|---|---|---|---|---|\n";
        }
        out += "| `" + variable_of(option) + "` | `" + flag_of(option) + "` | " +
               markdown_cell(markdown_default(option)) + " | " + markdown_cell(allowed_words(option)) + " | " +
               markdown_cell(option.help) + " |\n";
    }
    return out;
}

}  // namespace boardbus::cli
