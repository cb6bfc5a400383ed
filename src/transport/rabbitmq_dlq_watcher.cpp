// SPDX-License-Identifier: Apache-2.0
#include "transport/rabbitmq_dlq_watcher.h"

#include <algorithm>
#include <functional>
#include <utility>

#include "base/clock.h"
#include "telemetry/log.h"
#include "transport/dead_letter_log.h"
#include "transport/rabbitmq_dlq.h"

namespace boardbus::transport {
namespace {

constexpr std::chrono::seconds kFirstLook{2};
constexpr std::chrono::seconds kEvery{30};
constexpr int kSkipsMax = 10;  // × 30 s = 5 minutes.
constexpr std::uint64_t kLookBackSeconds = 3600;
constexpr std::size_t kLookMax = 10'000;
constexpr std::size_t kSeenMax = 20'000;  // Ids of 36 bytes, twice: 2 MB.

std::uint64_t wall_seconds() {
    return static_cast<std::uint64_t>(
        std::chrono::duration_cast<std::chrono::seconds>(wall_now().time_since_epoch()).count());
}

}  // namespace

RabbitDlqWatcher::RabbitDlqWatcher(Loop& loop, AmqpConnection& connection, telemetry::Metrics& metrics,
                                   const RabbitTopology& topology)
    : connection_(connection),
      metrics_(metrics),
      topology_(topology),
      queue_(topology.names().dlq.name),
      started_at_(wall_seconds()),
      reader_(loop, connection, queue_),
      timer_(loop, [this] { look(); }) {}

void RabbitDlqWatcher::start() {
    timer_.start(kFirstLook);
}

void RabbitDlqWatcher::look() {
    if (!connection_.is_open()) {
        timer_.start(kEvery);
        return;
    }
    reader_.count([this](const Result<std::size_t>& count) { on_count(count); });
}

void RabbitDlqWatcher::on_count(const Result<std::size_t>& count) {
    timer_.start(kEvery);
    if (!count || *count == 0 || (*count == last_count_ && ++looks_skipped_ < kSkipsMax)) {
        last_count_ = count.value_or(0);
        return;
    }
    last_count_ = *count;
    looks_skipped_ = 0;
    timer_.stop();
    if (*count > kLookMax && !std::exchange(said_too_long_, true)) {
        telemetry::log(telemetry::Level::error, "dlq_too_long_to_watch",
                       {{"queue", queue_},
                        {"messages", static_cast<std::int64_t>(*count)},
                        {"limit", static_cast<std::int64_t>(kLookMax)}});
    }
    reader_.read(
        std::min(*count, kLookMax),
        [this](AmqpMessage& message, DlqReader::Decide decide) { decide(on_message(std::move(message))); },
        [this](const Result<void>&) {
            if (!kept_out_) {
                timer_.start(kEvery);
            }
        });
}

DlqReader::Next RabbitDlqWatcher::on_message(AmqpMessage message) {
    const DeadLetter letter = dead_letter_from(std::move(message));
    if (topology_.dlq_is_foreign() && amqp::find_field(letter.properties.headers, "x-delivery-count") != nullptr) {
        kept_out_ = true;
        telemetry::log(telemetry::Level::error, "dlq_not_watched",
                       {{"queue", queue_}, {"reason", "it is not ours and may have a delivery limit"}});
        return DlqReader::Next::stop;
    }
    report(letter);
    return DlqReader::Next::keep;
}

void RabbitDlqWatcher::report(const DeadLetter& letter) {
    if (!letter.death.by_broker || letter.death.broker_time + kLookBackSeconds < started_at_) {
        return;
    }
    std::string key = letter.event_id.empty() ? std::to_string(std::hash<std::string>()(letter.body)) : letter.event_id;
    if (!seen_.insert(key).second) {
        return;
    }
    seen_order_.push_back(std::move(key));
    if (seen_order_.size() > kSeenMax) {
        seen_.erase(seen_order_.front());
        seen_order_.pop_front();
    }
    board::Verdict verdict;
    verdict.kind = board::Verdict::Kind::dead_letter;
    verdict.attempts = static_cast<int>(letter.death.attempts);
    verdict.reason = letter.death.reason;
    verdict.error = letter.death.error;
    verdict.event_id = letter.event_id;
    verdict.board_id = letter.board_id;
    log_dead_letter(metrics_, verdict, letter.event_id);
}

}  // namespace boardbus::transport
