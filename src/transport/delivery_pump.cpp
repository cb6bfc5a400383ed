// SPDX-License-Identifier: Apache-2.0
#include "transport/delivery_pump.h"

#include <algorithm>
#include <iterator>
#include <utility>
#include <variant>

#include "base/clock.h"
#include "base/random.h"
#include "board/message.h"
#include "telemetry/log.h"

namespace boardbus::transport {
namespace {

using Status = board::CommitResult::Status;
using telemetry::Level;

/// What the crash counter knows a message by: never its payload, for reading that may be what kills.
std::string attempt_id(const board::Delivery& delivery) {
    return delivery.message_id.empty() ? "hash-" + std::to_string(std::hash<std::string>{}(delivery.body))
                                       : delivery.message_id;
}

/// The board of an envelope of ours, found without reading the envelope. For the log line of a body that is not to be touched again.
std::string board_at_a_glance(std::string_view body) {
    constexpr std::string_view kMember = R"("board_id":")";
    const auto at = body.substr(0, 512).find(kMember);
    if (at == body.npos) {
        return {};
    }
    const std::string_view rest = body.substr(at + kMember.size(), board::kBoardIdBytesMax + 1);
    const auto end = rest.find_first_of("\"\\");
    return end == rest.npos || rest[end] != '"' ? std::string() : std::string(rest.substr(0, end));
}

/// One that was handed out before: perhaps to a worker that died of it.
bool is_suspect(const board::Delivery& delivery) {
    return delivery.redelivered;
}

telemetry::WorkerOutcome outcome_of(Status status) {
    switch (status) {
        case Status::duplicate:
            return telemetry::WorkerOutcome::duplicate;
        case Status::conflict:
            return telemetry::WorkerOutcome::conflict;
        case Status::fresh:
        case Status::failed:
        case Status::unavailable:
            break;
    }
    return telemetry::WorkerOutcome::fanned_out;
}

}  // namespace

DeliveryPump::DeliveryPump(Loop& loop, board::ActivityBus& bus, board::DeliverySource& source,
                           telemetry::Metrics& metrics, DeliveryPumpOptions options)
    : loop_(loop),
      bus_(bus),
      source_(source),
      metrics_(metrics),
      options_(options),
      backoff_(options.hold_initial, options.hold_most),
      again_(loop, [this] { in_hand_.empty() ? probe() : pump(); }) {}

void DeliveryPump::start() {
    probe();
}

void DeliveryPump::probe() {
    if (under_way_ || stopping_) {
        return;
    }
    under_way_ = true;
    bus_.probe([this](const Result<void>& written) {
        under_way_ = false;
        if (stopping_) {
            step_done();
        } else if (!written) {
            hold(written.error().detail);
        } else {
            end_hold();
            if (!std::exchange(started_, true)) {
                source_.start(*this);
            }
            step_done();
        }
    });
}

void DeliveryPump::stop(Task done) {
    stopping_ = true;
    stopped_ = std::move(done);
    again_.stop();
    if (!under_way_) {
        step_done();
    }
}

void DeliveryPump::on_deliveries(std::vector<board::Delivery> deliveries) {
    std::ranges::move(deliveries, std::back_inserter(in_hand_));
    show_in_hand();
    pump();
}

void DeliveryPump::on_copied(std::uint64_t tag) {
    if (burying_ && burying_->tag == tag) {
        // Whoever replays it has mended what it died of: it begins without a count.
        bus_.forget_attempts(burying_->id);
        burying_.reset();
        pump();
    }
}

void DeliveryPump::on_source_reset() {
    if (head_counted_ && !under_way_) {
        // It goes back to its queue, but nobody has died of it.
        bus_.take_back_attempt(attempt_id(in_hand_.front()));
    }
    in_hand_.clear();
    head_counted_ = false;
    burying_.reset();
    ++epoch_;
    show_in_hand();
}

void DeliveryPump::give_back() {
    release();
    source_.start(*this);
}

/// What is in hand is void now, though the source may take its time: what was committed or copied meanwhile could not be acked any more,
/// and a commit that succeeded would end a hold in which nobody starts the source again.
void DeliveryPump::release() {
    source_.release();
    on_source_reset();
}

void DeliveryPump::pump() {
    if (pumping_) {
        return;
    }
    pumping_ = true;
    while (next_step()) {
    }
    pumping_ = false;
}

bool DeliveryPump::next_step() {
    if (under_way_ || stopping_ || in_hand_.empty() || again_.running()) {
        return false;
    }
    if (is_suspect(in_hand_.front()) && !head_counted_) {
        if (burying_) {
            return false;
        }
        count_suspect();
    } else if (head_counted_ || holding()) {
        // A suspect goes alone; after an outage one commit is the scout for all the others.
        commit_front(1);
    } else {
        commit_front(next_batch());
    }
    return !under_way_;
}

/// How many at the front can go together: at least one, and no suspect.
std::size_t DeliveryPump::next_batch() const {
    std::size_t count = 0;
    std::size_t bytes = 0;
    for (const board::Delivery& delivery : in_hand_) {
        bytes += delivery.body.size();
        if (count == options_.batch_max || is_suspect(delivery) || (count > 0 && bytes > options_.batch_bytes_max)) {
            break;
        }
        ++count;
    }
    return count;
}

void DeliveryPump::count_suspect() {
    under_way_ = true;
    const std::string id = attempt_id(in_hand_.front());
    bus_.count_attempt(id, [this, id, epoch = epoch_](const Result<std::int64_t>& attempts) {
        under_way_ = false;
        if (epoch != epoch_ || stopping_) {
            // The head that was counted goes back to its queue, and nobody has died of it.
            bus_.take_back_attempt(id);
        } else if (!attempts && options_.on_outage == OnOutage::pause && attempts.error().code != Errc::refused) {
            hold(attempts.error().detail);
        } else if (attempts && *attempts >= options_.crashes_max) {
            const board::Delivery delivery = std::move(in_hand_.front());
            in_hand_.pop_front();
            burying_ = {.tag = delivery.tag, .id = id};
            settle(delivery, {.kind = board::Verdict::Kind::dead_letter,
                              .attempts = static_cast<int>(*attempts) + 1,
                              .reason = "crash_loop",
                              .error = std::to_string(*attempts) + " workers died while they handled this message",
                              .event_id = delivery.message_id,
                              .board_id = board_at_a_glance(delivery.body)});
        } else {
            // Uncounted, when there is an outage, which the commit will find and charge, or a refusal of this one counter.
            head_counted_ = true;
        }
        step_done();
    });
}

void DeliveryPump::commit_front(std::size_t count) {
    std::vector<Pending> batch;
    std::vector<board::CommitRequest> requests;
    batch.reserve(count);
    requests.reserve(count);
    const WallTime now = wall_now();
    for (; count > 0; --count) {
        board::Delivery delivery = std::move(in_hand_.front());
        in_hand_.pop_front();
        auto prepared = board::prepare(delivery, options_.retry, random_unit());
        if (auto* verdict = std::get_if<board::Verdict>(&prepared)) {
            if (std::exchange(head_counted_, false)) {
                bus_.forget_attempts(attempt_id(delivery));
            }
            settle(delivery, std::move(*verdict));
        } else {
            board::CommitRequest& request = requests.emplace_back(std::move(std::get<board::CommitRequest>(prepared)));
            metrics_.latency(telemetry::Stage::consumed, now - request.published_at);
            batch.push_back({.delivery = std::move(delivery),
                             .request = {.idempotency_key = request.idempotency_key,
                                         .event_id = request.event_id,
                                         .board_id = request.board_id,
                                         .published_at = request.published_at}});
        }
    }
    if (batch.empty()) {
        return;
    }
    under_way_ = true;
    bus_.commit(std::move(requests), [this, epoch = epoch_, begun = loop_.now(), pending = std::move(batch)](
                                         const std::vector<board::CommitResult>& results) mutable {
        under_way_ = false;
        if (epoch == epoch_) {
            on_committed(std::move(pending), results, begun);
        } else if (is_suspect(pending.front().delivery)) {
            bus_.take_back_attempt(attempt_id(pending.front().delivery));
        }
        step_done();
    });
}

void DeliveryPump::on_committed(std::vector<Pending> batch, const std::vector<board::CommitResult>& results,
                                Instant begun) {
    metrics_.commit_batch(batch.size(), std::chrono::steady_clock::now() - begun);
    const WallTime now = wall_now();
    std::vector<board::Delivery> held;
    std::string why;
    for (std::size_t i = 0; i < batch.size(); ++i) {
        const auto& [delivery, request] = batch[i];
        const board::CommitResult& result = results[i];
        if (result.status == Status::unavailable && options_.on_outage == OnOutage::pause) {
            why = why.empty() ? result.detail : why;
            held.push_back(std::move(batch[i].delivery));
            continue;
        }
        if (std::exchange(head_counted_, false)) {
            bus_.forget_attempts(attempt_id(delivery));
        }
        if (result.status == Status::conflict) {
            telemetry::log(Level::warn, "idempotency_conflict",
                           {{"event_id", request.event_id},
                            {"board_id", request.board_id},
                            {"idempotency_key", request.idempotency_key},
                            {"result", "delivered under its own fingerprint"}});
        }
        if (result.status == Status::duplicate) {
            telemetry::log(Level::debug, "duplicate",
                           {{"event_id", request.event_id}, {"published_as", result.detail}});
        }
        board::Verdict verdict = board::judge(delivery, request, result, options_.retry, random_unit());
        if (verdict.kind == board::Verdict::Kind::ack) {
            metrics_.worker_outcome(outcome_of(result.status));
            metrics_.latency(telemetry::Stage::committed, now - request.published_at);
        }
        settle(delivery, std::move(verdict));
    }
    if (held.empty()) {
        end_hold();
    } else {
        in_hand_.insert(in_hand_.begin(), std::make_move_iterator(held.begin()), std::make_move_iterator(held.end()));
        hold(why);
    }
}

void DeliveryPump::settle(const board::Delivery& delivery, board::Verdict verdict) {
    if (verdict.kind == board::Verdict::Kind::retry) {
        metrics_.worker_outcome(telemetry::WorkerOutcome::retried);
        telemetry::log(Level::warn, "retry",
                       {{"event_id", verdict.event_id},
                        {"board_id", verdict.board_id},
                        {"attempts", static_cast<std::int64_t>(verdict.attempts)},
                        {"delay_ms", static_cast<std::int64_t>(verdict.delay.count())},
                        {"last_error", verdict.error}});
    } else if (verdict.kind == board::Verdict::Kind::dead_letter) {
        metrics_.worker_outcome(telemetry::WorkerOutcome::dead_lettered);
    }
    source_.settle(delivery.tag, std::move(verdict));
}

void DeliveryPump::hold(const std::string& why) {
    if (!holding()) {
        held_since_ = loop_.now();
        metrics_.hold(true);
        telemetry::log(Level::warn, "hold", {{"in_hand", static_cast<std::int64_t>(in_hand_.size())}, {"reason", why}});
    } else if (started_ && loop_.now() - held_since_ > options_.hold_release) {
        telemetry::log(Level::warn, "hold_released", {{"in_hand", static_cast<std::int64_t>(in_hand_.size())}});
        started_ = false;
        release();
    }
    again_.start(backoff_.next(random_unit()));
}

void DeliveryPump::end_hold() {
    if (holding()) {
        const std::chrono::duration<double> held = loop_.now() - held_since_;
        telemetry::log(Level::info, "hold_ended", {{"seconds", held.count()}});
        metrics_.hold(false);
        held_since_ = {};
    }
    backoff_.reset();
}

/// As a change, because the pumps of several lanes share the gauge.
void DeliveryPump::show_in_hand() {
    metrics_.deliveries_in_hand(static_cast<std::ptrdiff_t>(in_hand_.size()) - static_cast<std::ptrdiff_t>(shown_));
    shown_ = in_hand_.size();
}

void DeliveryPump::step_done() {
    show_in_hand();
    if (stopping_) {
        if (stopped_) {
            std::exchange(stopped_, nullptr)();
        }
        return;
    }
    pump();
}

}  // namespace boardbus::transport
