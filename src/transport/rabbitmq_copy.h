// What the copy of a message carries on its way to a retry queue, to the DLQ, and back from there.
//
// Pure. A copy keeps what its original had, less what would harm it: the broker's death record (with it a copy that comes back to a
// queue it has been in is a "cycle", and is dropped or held for ever), the expiration, `user_id` (the broker refuses a message under
// another user's name) and CC/BCC (which would route it anew). Spec: CONTRACT §5.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "transport/amqp_codec.h"

namespace boardbus::transport {

/// The most that the properties of a copy may take: a content header is one frame, and the smallest agreed frame that RabbitMQ's own
/// default gives is 128 KiB. What is above is taken from the original's headers, the largest first.
inline constexpr std::size_t kCopyPropertiesMax = 120U << 10;

/// `x-retry-count`; no number or below 0 counts as 0.
std::int64_t retry_count_of(const amqp::Properties& properties);

/// The first 1,024 bytes of `text` or a little less, as valid UTF-8: bytes that are none become '?'.
std::string printable_error(std::string_view text);

/// `retry_count` is the number of this retry, from 1; `now` a text in ISO 8601.
amqp::Properties retry_copy(const amqp::Properties& original, int retry_count, std::chrono::milliseconds delay,
                            std::string_view error, std::string_view now);

/// `retry_count` is the number of retries that it has had.
amqp::Properties dead_letter_copy(const amqp::Properties& original, int retry_count, std::string_view reason,
                                  std::string_view error, std::string_view now);

/// Out of the DLQ, as new: without its failure and its retries.
amqp::Properties replay_copy(const amqp::Properties& original, std::string_view now);

/// What a message in the DLQ says about its end.
struct DeathRecord {
    std::string
        reason;  ///< failure_reason; for a copy that the broker itself moved: x-death's (delivery_limit, rejected …).
    std::string error;
    std::int64_t attempts = 0;
    std::string failed_at;  ///< x-first-failed-at, or empty.
    bool by_broker = false;
    std::uint64_t broker_time = 0;  ///< Seconds since 1970, by the broker's clock; 0: not said.
};
DeathRecord death_record(const amqp::Properties& properties);

}  // namespace boardbus::transport
