// The rows of options_table(), by section. Only the files options_table*.cpp include this.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "cli/options_table.h"

namespace boardbus::cli {

inline constexpr unsigned kApp = static_cast<unsigned>(Command::app);
inline constexpr unsigned kWorker = static_cast<unsigned>(Command::worker);
inline constexpr unsigned kBoth = kApp | kWorker;
inline constexpr unsigned kHealth = static_cast<unsigned>(Command::health);
inline constexpr unsigned kDemo = static_cast<unsigned>(Command::demo);
inline constexpr unsigned kRabbit = kBoth | static_cast<unsigned>(Command::dlq);

inline constexpr std::int64_t kDay = 86'400;
inline constexpr std::int64_t kYear = 365 * kDay;
inline constexpr std::int64_t kGiB = std::int64_t{1} << 30;

std::vector<Option> rabbitmq_options();
std::vector<Option> delivery_options();
std::vector<Option> publish_options();
std::vector<Option> redis_options();
std::vector<Option> history_options();
std::vector<Option> reader_options();
std::vector<Option> backlog_options();
std::vector<Option> limit_options();
std::vector<Option> browser_options();

}  // namespace boardbus::cli
