// How often each of a few things happened, by its name.
//
// Names are our own words with a number in them, but the number may be the server's: after 32 names the rest is counted together.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>

namespace boardbus::cli {

class BenchTally {
  public:
    void add(const std::string& name, std::uint64_t times = 1) {
        const bool room = counts_.size() < kNamesMax || counts_.contains(name);
        counts_[room ? name : "other reasons"] += times;
        total_ += times;
    }

    std::uint64_t total() const { return total_; }
    const std::map<std::string, std::uint64_t>& counts() const { return counts_; }

    /// "HTTP 429 ×12, closed with 1013 ×3"
    std::string text() const {
        std::string text;
        for (const auto& [name, count] : counts_) {
            text += (text.empty() ? "" : ", ") + name + " ×" + std::to_string(count);
        }
        return text;
    }

  private:
    static constexpr std::size_t kNamesMax = 32;

    std::map<std::string, std::uint64_t> counts_;
    std::uint64_t total_ = 0;
};

}  // namespace boardbus::cli
