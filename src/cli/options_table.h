// Every option of the program in one table.
//
// A row makes the flag, the variable, the check, the line of --help, of `boardbus config`, of .env.example and of the documentation;
// so none of these can say anything else than the others. Spec: CONTRACT §8.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cli/config.h"

namespace boardbus::cli {

/// The commands, as bits: a row says which of them have its flag.
enum class Command : unsigned {
    app = 1,
    worker = 2,
    demo = 4,
    dlq = 8,
    health = 16,
    config = 32,
    version = 64,
    bench = 128
};

/// What is not shown: nothing, the whole value, or the password inside a URL.
enum class Secret { no, whole, url };

/// Why a value is not accepted: empty means "it is not what is allowed", else the reason.
using Complaint = std::optional<std::string>;

/// What an option may be, in words, and the function that checks a text and puts it into its field.
struct Rule {
    std::string allowed;
    std::function<Complaint(Config&, std::string_view)> set;
};

struct Option {
    std::string_view section;
    std::string_view name;  ///< Without the prefix ADVANCED_.
    Rule rule;
    std::string_view value;  ///< The default, as text.
    std::string_view help;
    unsigned commands = 0;           ///< Which commands have the flag; `config` has all.
    std::string_view unset_means{};  ///< Not empty: a blank value is allowed and means this.
    std::string_view unit{};
    Secret secret = Secret::no;
};

inline constexpr std::string_view kVariablePrefix = "ADVANCED_";

const std::vector<Option>& options_table();

/// ADVANCED_APP_PORT.
std::string variable_of(const Option& option);

/// --app-port.
std::string flag_of(const Option& option);

/// `text` as it may be shown to anybody.
std::string shown(const Option& option, std::string_view text);

}  // namespace boardbus::cli
