// SPDX-License-Identifier: Apache-2.0
#include "transport/rabbitmq_handover.h"

#include <utility>

#include "base/clock.h"
#include "base/fault.h"
#include "base/random.h"
#include "telemetry/log.h"
#include "transport/dead_letter_log.h"
#include "transport/rabbitmq_copy.h"

namespace boardbus::transport {

RabbitHandover::RabbitHandover(Loop& loop, telemetry::Metrics& metrics, AmqpOptions connection,
                               RabbitTopology& topology, OnConfirmed on_confirmed)
    : metrics_(metrics),
      topology_(topology),
      on_confirmed_(std::move(on_confirmed)),
      connection_(loop, *this, std::move(connection)),
      channel_(loop, connection_, [this](bool open) { on_channel_state(open); }),
      backoff_(std::chrono::milliseconds(100), std::chrono::milliseconds(5000)),
      again_(loop, [this] { try_again(); }) {}

void RabbitHandover::stop(Task done) {
    again_.stop();
    connection_.stop(std::move(done));
}

void RabbitHandover::send(std::uint64_t tag, board::Verdict verdict, const amqp::Properties& original,
                          std::string body) {
    const std::string now = iso_8601(wall_now());
    Copy copy{.verdict = std::move(verdict),
              .message_id = original.message_id.value_or(""),
              .properties = {},
              .body = std::move(body)};
    const board::Verdict& why = copy.verdict;
    copy.properties = why.kind == board::Verdict::Kind::retry
                          ? retry_copy(original, why.attempts, why.delay, why.error, now)
                          : dead_letter_copy(original, why.attempts - 1, why.reason, why.error, now);
    const auto [added, fresh] = copies_.emplace(tag, std::move(copy));
    if (fresh && channel_.is_open() && !again_.running()) {
        send_one(*added);
    }
}

void RabbitHandover::send_one(Copies::value_type& one) {
    const std::uint64_t tag = one.first;
    Copy& copy = one.second;
    // Asked each time: a level may have been replaced meanwhile.
    const bool retry = copy.verdict.kind == board::Verdict::Kind::retry;
    const board::QueuePlan& to = retry ? topology_.level(copy.verdict.attempts) : topology_.names().dlq;
    copy.sent = true;
    channel_.publish({to.exchange, to.routing_key, copy.properties, copy.body},
                     [this, tag](Confirm confirm, std::string_view reason) { on_confirm(tag, confirm, reason); });
}

void RabbitHandover::send_waiting() {
    for (auto& copy : copies_) {
        if (!copy.second.sent && channel_.is_open()) {
            send_one(copy);
        }
    }
}

void RabbitHandover::reset() {
    std::erase_if(copies_, [](const auto& copy) { return !copy.second.sent; });
    for (auto& copy : copies_) {
        copy.second.abandoned = true;
    }
}

void RabbitHandover::on_channel_state(bool open) {
    if (open) {
        send_waiting();
    } else if (connection_.is_open() && !again_.running()) {
        again_.start(backoff_.next(random_unit()));
    }
}

/// Something was missing or full: declare what may be missing, then send what waits.
void RabbitHandover::try_again() {
    topology_.declare([this](const Result<void>&) {
        if (channel_.is_open()) {
            send_waiting();
        } else if (connection_.is_open()) {
            channel_.open();
        }
    });
}

void RabbitHandover::on_confirm(std::uint64_t tag, Confirm confirm, std::string_view reason) {
    const auto copy = copies_.find(tag);
    if (copy == copies_.end()) {
        return;
    }
    if (confirm == Confirm::confirmed) {
        backoff_.reset();
        confirmed(copy);
        return;
    }
    if (copy->second.abandoned) {
        copies_.erase(copy);
        return;
    }
    copy->second.sent = false;
    if (!again_.running()) {
        telemetry::log(telemetry::Level::warn, "copy_refused",
                       {{"event_id", copy->second.message_id}, {"reason", reason}});
        again_.start(backoff_.next(random_unit()));
    }
}

void RabbitHandover::confirmed(Copies::iterator copy) {
    const std::uint64_t tag = copy->first;
    const std::string message_id = std::move(copy->second.message_id);
    const board::Verdict verdict = std::move(copy->second.verdict);
    copies_.erase(copy);
    if (verdict.kind == board::Verdict::Kind::dead_letter) {
        log_dead_letter(metrics_, verdict, message_id);
        fault::point("worker.after_dlq_confirm", message_id);
    } else {
        fault::point("worker.after_retry_confirm", message_id);
    }
    on_confirmed_(tag);
}

}  // namespace boardbus::transport
