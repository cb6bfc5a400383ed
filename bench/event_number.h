// The number that an event carries, found in the bytes that readers get.
//
// A load generator that searches 300 bytes for each of two million events a second measures itself. Events of one run are alike, so the
// number nearly always stands where it stood in the last event; and a compressed event is the same bytes for all its readers, so it is
// inflated for the first of them only. One thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "web/ws_deflate.h"

namespace boardbus::bench {

class EventNumbers {
  public:
    /// The number in an event as text; nothing when it has none, as a heartbeat or an error.
    std::optional<std::uint64_t> in_text(std::string_view text);

    /// The number in a compressed event, and the length of its text. `expected`: the number that its reader waits for.
    struct Inflated {
        std::uint64_t number;
        std::size_t text_bytes;
    };
    std::optional<Inflated> in_deflated(std::string_view payload, std::uint64_t expected);

  private:
    struct Known {
        std::string payload;
        Inflated event{};
    };

    std::size_t last_at_ = 0;
    // By number; more events than this are never on their way to readers that keep up, and those that do not only cost time.
    std::array<Known, 256> known_;
    web::Inflater inflater_;
};

/// A payload of about `bytes` bytes for an event, with a place for its number: see set_number(). The rest is words, so that compressing it
/// costs what real text costs.
std::string numbered_words(std::size_t bytes);

}  // namespace boardbus::bench
