// A reader that joins as the sessions do, and writes down what it was told in words that a test can compare.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <regex>
#include <string>
#include <vector>

#include "hub/reader_pair.h"

namespace boardbus::hub {

/// What followers read: one line for each frame.
inline WsEncoder line_encoder() {
    return {.text = [](std::string_view text, std::string& out) { out.append(text).append("\n"); },
            .deflated = [](std::string_view text, std::string& out) { out.append(text).append("\n"); }};
}

class Follower final : public Reader {
  public:
    Follower(Loop& loop, Shard& shard, Hub& hub, std::vector<std::string> boards, ResumePoint point,
             std::size_t slice_bytes = 1 << 18, Form form = Form::ws, SocketPair pair = {})
        : Reader(shard, std::move(pair.ours), form),
          loop_(loop),
          hub_(hub),
          pair_(std::move(pair)),
          boards_(std::move(boards)),
          slice_bytes_(slice_bytes),
          self_(std::make_shared<Follower*>(this)) {
        loop_.add(fd(), EPOLLIN, *this);
        ask(std::move(point));
    }
    ~Follower() {
        *self_ = nullptr;
        loop_.remove(fd(), *this);
    }

    void on_ready(std::uint32_t events) override {
        if ((events & EPOLLOUT) != 0) {
            shard().on_writable(*this);
        }
    }
    void on_trouble(Trouble trouble) override { troubles.push_back(trouble); }
    void on_notice(std::string_view, const EncodedNotice& notice) override {
        if (notice.kind == Notice::Kind::cut) {
            cut = true;
            shard().leave(*this);
        } else {
            shard().send(*this, notice.forms[static_cast<std::size_t>(form())]);
        }
    }

    /// Everything that has been sent to it so far.
    const std::string& text() {
        text_ += pair_.read();
        return text_;
    }

    /// "a" for an event with that action, "gap 2-4", "resync e2 7".
    std::vector<std::string> heard() {
        static const std::regex line(R"re("kind":"gap".*"from_(?:seq|pos)":(\d+),"to_(?:seq|pos)":(\d+)|)re"
                                     R"re("kind":"resync".*"epoch":"(\w*)","(?:seq|pos)":(\d+)|"action":"([^"]*)")re");
        std::vector<std::string> words;
        const std::string& all = text();
        for (std::sregex_iterator it(all.begin(), all.end(), line), end; it != end; ++it) {
            const std::smatch& match = *it;
            if (match[1].matched) {
                words.push_back("gap " + match[1].str() + "-" + match[2].str());
            } else if (match[3].matched) {
                words.push_back("resync " + match[3].str() + " " + match[4].str());
            } else {
                words.push_back(match[5].str());
            }
        }
        return words;
    }

    std::vector<Trouble> troubles;
    std::vector<ResumeAnswer> answers;  ///< Without their bytes.
    bool joined = false;
    bool cut = false;

  private:
    void ask(ResumePoint point) {
        hub_.resume({.shard = &shard(),
                     .form = form(),
                     .boards = boards_,
                     .point = std::move(point),
                     .slice_bytes = slice_bytes_,
                     .done = [self = self_, &hub = hub_, &shard = shard(), boards = boards_,
                              form = form()](ResumeAnswer answer) {
                         if (*self != nullptr) {
                             (*self)->take(std::move(answer));
                         } else if (answer.joined) {
                             for (const auto& board : boards.empty() ? std::vector<std::string>{""} : boards) {
                                 hub.report_leave(shard, board, form);
                             }
                         }
                     }});
    }

    void take(ResumeAnswer answer) {
        shard().send(*this, answer.bytes);
        answer.bytes.clear();
        if (answer.joined) {
            for (const auto& board : boards_.empty() ? std::vector<std::string>{""} : boards_) {
                shard().join_counted(*this, board);
            }
            joined = true;
        } else if (!answer.failed) {
            ask(answer.next);
        }
        answers.push_back(std::move(answer));
    }

    Loop& loop_;
    Hub& hub_;
    SocketPair pair_;
    const std::vector<std::string> boards_;
    const std::size_t slice_bytes_;
    std::shared_ptr<Follower*> self_;
    std::string text_;
};

}  // namespace boardbus::hub
