// SPDX-License-Identifier: Apache-2.0
#include "transport/rabbitmq_dlq.h"

#include <cstdint>
#include <utility>

#include "base/clock.h"
#include "board/envelope.h"
#include "board/lanes.h"

namespace boardbus::transport {

using Next = DlqReader::Next;

DeadLetter dead_letter_from(AmqpMessage message) {
    DeadLetter letter{.event_id = message.properties.message_id.value_or(""),
                      .board_id = {},
                      .death = death_record(message.properties),
                      .properties = std::move(message.properties),
                      .body = std::move(message.body),
                      .body_bytes = 0};
    letter.body_bytes = letter.body.size();
    if (auto envelope = board::decode_envelope(letter.body)) {
        letter.board_id = std::move(envelope->board_id);
        if (letter.event_id.empty()) {
            letter.event_id = std::move(envelope->event_id);
        }
    }
    return letter;
}

RabbitDlq::RabbitDlq(Loop& loop, AmqpOptions connection, std::vector<board::Topology> lanes)
    : lanes_(std::move(lanes)),
      connection_(loop, *this, std::move(connection)),
      publishing_(loop, connection_, [this](bool open) { on_publishable(open); }),
      reader_(loop, connection_, lanes_.front().dlq.name) {}

void RabbitDlq::begin(Task work, std::move_only_function<void(Result<void>)> done) {
    work_ = std::move(work);
    done_ = std::move(done);
    connection_.start();
}

void RabbitDlq::on_connected() {
    if (publishes_) {
        publishing_.open();
    } else {
        work_();
    }
}

void RabbitDlq::on_publishable(bool open) {
    if (open) {
        work_();
    } else {
        finish(fail(Errc::unavailable, "the publishing channel was lost"));
    }
}

void RabbitDlq::on_disconnected(const Error& error) {
    finish(std::unexpected(error));
}

void RabbitDlq::walk(DlqReader::OnMessage on_message) {
    reader_.read(SIZE_MAX, std::move(on_message),
                 [this](const Result<void>& result) { finish(result ? failure_ : result); });
}

void RabbitDlq::finish(Result<void> result) {
    if (std::exchange(finished_, true)) {
        return;
    }
    connection_.stop([this, result = std::move(result)]() mutable { done_(std::move(result)); });
}

void RabbitDlq::list(std::size_t most, std::move_only_function<void(Result<std::vector<DeadLetter>>)> done) {
    begin(
        [this, most] {
            reader_.read(
                most,
                [this](AmqpMessage& message, DlqReader::Decide decide) {
                    found_.push_back(dead_letter_from(std::move(message)));
                    found_.back().body = {};
                    decide(Next::keep);
                },
                [this](const Result<void>& result) { finish(result); });
        },
        [this, done = std::move(done)](const Result<void>& result) mutable {
            if (result) {
                done(std::move(found_));
            } else {
                done(std::unexpected(result.error()));
            }
        });
}

void RabbitDlq::show(std::string event_id, std::move_only_function<void(Result<std::optional<DeadLetter>>)> done) {
    wanted_ = std::move(event_id);
    begin(
        [this] {
            walk([this](AmqpMessage& message, DlqReader::Decide decide) {
                DeadLetter letter = dead_letter_from(std::move(message));
                const bool here = letter.event_id == wanted_;
                if (here) {
                    found_.push_back(std::move(letter));
                }
                decide(here ? Next::stop : Next::keep);
            });
        },
        [this, done = std::move(done)](const Result<void>& result) mutable {
            if (!result) {
                done(std::unexpected(result.error()));
            } else if (found_.empty()) {
                done(std::nullopt);
            } else {
                done(std::move(found_.front()));
            }
        });
}

void RabbitDlq::replay(std::optional<std::string> event_id, std::move_only_function<void(Result<std::size_t>)> done) {
    wanted_ = std::move(event_id);
    publishes_ = true;
    begin(
        [this] {
            walk([this](AmqpMessage& message, DlqReader::Decide decide) { replay_one(message, std::move(decide)); });
        },
        [this, done = std::move(done)](const Result<void>& result) mutable {
            if (result) {
                done(changed_);
            } else {
                done(fail(result.error().code, std::to_string(changed_) + " replayed, then: " + result.error().detail));
            }
        });
}

void RabbitDlq::replay_one(AmqpMessage& message, DlqReader::Decide decide) {
    const bool oversized = message.oversized;
    DeadLetter letter = dead_letter_from(std::move(message));
    if (wanted_ && letter.event_id != wanted_) {
        decide(Next::keep);
        return;
    }
    if (oversized) {
        failure_ = fail(Errc::invalid, "a body above 16 MiB cannot be replayed, event_id=" + letter.event_id);
        decide(Next::keep);
        return;
    }
    const board::QueuePlan& main = lanes_[board::lane_of(letter.board_id, lanes_.size())].main;
    publishing_.publish(
        {main.exchange, main.routing_key, replay_copy(letter.properties, iso_8601(wall_now())), std::move(letter.body)},
        [this, decide = std::move(decide)](Confirm confirm, std::string_view reason) mutable {
            if (confirm == Confirm::confirmed) {
                ++changed_;
                decide(Next::remove);
            } else {
                failure_ = fail(Errc::refused, std::string(reason));
                decide(Next::stop);
            }
        });
}

void RabbitDlq::purge(std::optional<std::string> event_id, std::move_only_function<void(Result<std::size_t>)> done) {
    wanted_ = std::move(event_id);
    begin(
        [this] {
            if (!wanted_) {
                reader_.purge([this](const Result<std::size_t>& count) {
                    changed_ = count.value_or(0);
                    finish(count ? Result<void>() : std::unexpected(count.error()));
                });
                return;
            }
            walk([this](AmqpMessage& message, DlqReader::Decide decide) {
                const bool here = dead_letter_from(std::move(message)).event_id == wanted_;
                changed_ += here ? 1 : 0;
                decide(here ? Next::remove : Next::keep);
            });
        },
        [this, done = std::move(done)](const Result<void>& result) mutable {
            if (result) {
                done(changed_);
            } else {
                done(std::unexpected(result.error()));
            }
        });
}

}  // namespace boardbus::transport
