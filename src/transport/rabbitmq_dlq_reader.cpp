// SPDX-License-Identifier: Apache-2.0
#include "transport/rabbitmq_dlq_reader.h"

#include <algorithm>
#include <utility>

namespace boardbus::transport {

void DlqReader::open(std::move_only_function<void(Result<void>)> then) {
    if (channel_.is_open()) {
        then({});
        return;
    }
    channel_.open([then = std::move(then)](const Result<amqp::Method>& opened) mutable {
        then(opened ? Result<void>() : std::unexpected(opened.error()));
    });
}

void DlqReader::count(std::move_only_function<void(Result<std::size_t>)> done) {
    open([this, done = std::move(done)](const Result<void>& opened) mutable {
        if (!opened) {
            done(std::unexpected(opened.error()));
            return;
        }
        channel_.call(amqp::queue_declare(channel_.number(), queue_, amqp::Passive::yes, {}),
                      [done = std::move(done)](const Result<amqp::Method>& answer) mutable {
                          const auto* declared = answer ? std::get_if<amqp::QueueDeclareOk>(&*answer) : nullptr;
                          if (declared != nullptr) {
                              done(declared->messages);
                          } else {
                              done(std::unexpected(answer ? Error{Errc::invalid, "a wrong answer"} : answer.error()));
                          }
                      });
    });
}

void DlqReader::purge(std::move_only_function<void(Result<std::size_t>)> done) {
    open([this, done = std::move(done)](const Result<void>& opened) mutable {
        if (!opened) {
            done(std::unexpected(opened.error()));
            return;
        }
        channel_.call(amqp::queue_purge(channel_.number(), queue_),
                      [done = std::move(done)](const Result<amqp::Method>& answer) mutable {
                          const auto* purged = answer ? std::get_if<amqp::QueuePurgeOk>(&*answer) : nullptr;
                          if (purged != nullptr) {
                              done(purged->messages);
                          } else {
                              done(std::unexpected(answer ? Error{Errc::invalid, "a wrong answer"} : answer.error()));
                          }
                      });
    });
}

void DlqReader::read(std::size_t most, OnMessage on_message, OnEnd on_end) {
    left_ = most;
    first_ = true;
    show_ = std::move(on_message);
    on_end_ = std::move(on_end);
    open([this](const Result<void>& opened) {
        if (opened) {
            get();
        } else {
            end(opened);
        }
    });
}

void DlqReader::get() {
    if (left_ == 0) {
        end({});
        return;
    }
    --left_;
    channel_.call(amqp::get(channel_.number(), queue_), [this](const Result<amqp::Method>& answer) {
        const auto* got = answer ? std::get_if<amqp::GetOk>(&*answer) : nullptr;
        if (got == nullptr || !message_) {
            end(answer ? Result<void>() : std::unexpected(answer.error()));
            return;
        }
        if (std::exchange(first_, false)) {
            // What comes while we work is not met. This number is the queue's own: one that was asked for may lack what somebody's look has
            // just given back.
            left_ = std::min<std::size_t>(left_, got->messages);
        }
        AmqpMessage message = std::move(*message_);
        message_.reset();
        show_(message, [this, tag = got->tag](Next next) { decide(tag, next); });
    });
}

void DlqReader::decide(std::uint64_t tag, Next next) {
    if (!on_end_) {
        return;  // The channel was lost meanwhile.
    }
    if (next == Next::remove) {
        channel_.send(amqp::ack(channel_.number(), tag, amqp::Multiple::no));
    }
    if (next == Next::stop) {
        end({});
    } else {
        get();
    }
}

void DlqReader::end(const Result<void>& result) {
    if (!on_end_) {
        return;
    }
    // A closed channel answers at once.
    channel_.close([result, on_end = std::exchange(on_end_, {})]() mutable { on_end(result); });
}

void DlqReader::on_channel_lost(const Error& error) {
    end(std::unexpected(error));
}

}  // namespace boardbus::transport
