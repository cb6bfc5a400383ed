// SPDX-License-Identifier: Apache-2.0
#include "hub/history_reads.h"

#include <utility>

namespace boardbus::hub {
namespace {

// Pages in memory at once, on their way or being encoded. Sixteen keep Redis busy over a network; at 4 MiB a page, the
// most that a history gives, 64 MiB at worst.
constexpr std::size_t kPagesMax = 16;

// Different questions that wait or are out: 65,536 × about 200 B = 13 MB. Beyond it the asker tries again later.
constexpr std::size_t kWaitingMax = 65'536;

}  // namespace

bool HistoryReads::has_room() const {
    return askers_.size() < kWaitingMax;
}

void HistoryReads::ask(const HistoryQuestion& question, Done done) {
    const auto [askers, fresh] = askers_.try_emplace(question);
    askers->second.waiting.push_back(std::move(done));
    if (fresh) {
        waiting_.push_back(question);
        plan_to_send();
    }
}

// Not at once: who comes a moment after the first of a storm would be too late for its page.
void HistoryReads::plan_to_send() {
    if (!std::exchange(planned_, true)) {
        loop_.post([this] {
            planned_ = false;
            send();
        });
    }
}

void HistoryReads::send() {
    while (!waiting_.empty() && *pages_ < kPagesMax) {
        const HistoryQuestion question = std::move(waiting_.front());
        waiting_.pop_front();
        Askers& askers = askers_.find(question)->second;
        askers.out = std::exchange(askers.waiting, {});
        ++*pages_;
        // Not send() itself: a reply may be dropped anywhere, also when the process ends.
        const auto release = [this, &loop = loop_, pages = pages_](HistoryReply* held) {
            delete held;
            if ((*pages)-- == kPagesMax) {
                loop.post([this] { send(); });
            }
        };
        std::shared_ptr<HistoryReply> reply(new HistoryReply{.page = fail(Errc::unavailable, "no history"),
                                                             .asked_at = ring_.last(),
                                                             .generation = ring_.generation()},
                                            release);
        auto on_done = [this, question, reply](Result<board::HistoryPage> page) mutable {
            reply->page = std::move(page);
            on_page(question, std::move(reply));
        };
        if (source_ == nullptr) {
            on_page(question, std::move(reply));
        } else if (question.kind == HistoryQuestion::Kind::board_after) {
            source_->read_board_after(question.board, question.from, question.limit, std::move(on_done));
        } else if (question.kind == HistoryQuestion::Kind::board_before) {
            source_->read_board_before(question.board, question.from, question.limit, std::move(on_done));
        } else {
            source_->read_all_after(question.from, question.limit, std::move(on_done));
        }
    }
}

void HistoryReads::on_page(const HistoryQuestion& question, std::shared_ptr<HistoryReply> reply) {
    const auto askers = askers_.find(question);
    std::vector<Done> out = std::exchange(askers->second.out, {});
    if (askers->second.waiting.empty()) {
        askers_.erase(askers);
    } else {
        waiting_.push_back(question);
        plan_to_send();
    }
    const SharedReply shared = std::move(reply);
    for (Done& done : out) {
        done(shared);
    }
    shared->past.reset();
}

}  // namespace boardbus::hub
