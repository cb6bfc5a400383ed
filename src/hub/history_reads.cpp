// SPDX-License-Identifier: Apache-2.0
#include "hub/history_reads.h"

#include <utility>

namespace boardbus::hub {
namespace {

// Pages in memory at once, on their way or being encoded. Sixteen keep Redis busy over a network; at 4 MiB a page, the
// most that a history gives, 64 MiB at worst.
constexpr std::size_t kPagesMax = 16;

// Different questions that wait: 65,536 × about 200 B = 13 MB. Beyond it the asker tries again later.
constexpr std::size_t kWaitingMax = 65'536;

}  // namespace

bool HistoryReads::has_room() const {
    return waiting_.size() < kWaitingMax;
}

void HistoryReads::ask(const HistoryQuestion& question, Done done) {
    const auto [asker, fresh] = askers_.try_emplace(question);
    asker->second.push_back(std::move(done));
    if (fresh) {
        waiting_.push_back(question);
        send_next();
    }
}

void HistoryReads::send_next() {
    if (std::exchange(sending_, true)) {
        return;  // A source that answers at once: the loop below goes on.
    }
    while (!waiting_.empty() && *pages_ < kPagesMax) {
        const HistoryQuestion question = std::move(waiting_.front());
        waiting_.pop_front();
        ++*pages_;
        // Not send_next() itself: a reply may be dropped anywhere, also when the process ends.
        const auto release = [this, &loop = loop_, pages = pages_](HistoryReply* held) {
            delete held;
            if ((*pages)-- == kPagesMax) {
                loop.post([this] { send_next(); });
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
    sending_ = false;
}

void HistoryReads::on_page(const HistoryQuestion& question, std::shared_ptr<HistoryReply> reply) {
    auto node = askers_.extract(question);
    const SharedReply shared = std::move(reply);
    for (Done& done : node.mapped()) {
        done(shared);
    }
}

}  // namespace boardbus::hub
