// `boardbus dlq`: the dead letters, for the person who has to deal with them.
//
// What is printed came from clients and brokers: every text is escaped, so that none can forge a line or move the cursor.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdio>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "board/lanes.h"
#include "cli/broker_options.h"
#include "cli/commands.h"
#include "cli/options_table_rules.h"
#include "telemetry/log_line.h"
#include "transport/rabbitmq_dlq.h"

namespace boardbus::cli {
namespace {

using transport::DeadLetter;
using Action = DlqOptions::Action;

std::string escaped(std::string_view text) {
    std::string out;
    telemetry::append_json_escaped(out, text);
    return out;
}

/// When it first failed; for what the broker moved itself, when that was.
std::string failed_at(const DeadLetter& letter) {
    if (!letter.death.failed_at.empty() || letter.death.broker_time == 0) {
        return letter.death.failed_at.empty() ? "-" : escaped(letter.death.failed_at);
    }
    // A broker's clock is never asked about years that do not fit.
    constexpr std::uint64_t kLast = 253'402'300'799;  // 9999-12-31T23:59:59Z.
    return iso_8601(WallTime(std::chrono::seconds(std::min(letter.death.broker_time, kLast))));
}

std::string line_of(const DeadLetter& letter) {
    return (letter.event_id.empty() ? "-" : escaped(letter.event_id)) + "  " + escaped(letter.death.reason) +
           "  attempts=" + std::to_string(letter.death.attempts) + "  failed_at=" + failed_at(letter) +
           "  bytes=" + std::to_string(letter.body_bytes) + "  board=\"" + escaped(letter.board_id) + "\"  error=\"" +
           escaped(letter.death.error) + "\"\n";
}

/// A body that is plain text is shown as it is, token for token.
std::string body_of(const DeadLetter& letter) {
    return is_plain_text(letter.body) ? letter.body : escaped(letter.body);
}

/// One command on its own loop; the exit code is set by whoever ends it.
class Run {
  public:
    explicit Run(const Config& config)
        : dlq_(loop_, amqp_options(config, "boardbus dlq"),
               board::make_lanes(config.rabbitmq.topology, config.rabbitmq.lanes)) {}

    int go(const DlqOptions& options) {
        switch (options.action) {
            case Action::list:
                dlq_.list(options.limit, [this](Result<std::vector<DeadLetter>> letters) { listed(letters); });
                break;
            case Action::show:
                dlq_.show(*options.event_id, [this](Result<std::optional<DeadLetter>> letter) { shown_one(letter); });
                break;
            case Action::replay:
                dlq_.replay(options.event_id, [this, one = options.event_id.has_value()](Result<std::size_t> count) {
                    changed("replayed", count, one);
                });
                break;
            case Action::purge:
                dlq_.purge(options.event_id, [this, one = options.event_id.has_value()](Result<std::size_t> count) {
                    changed("purged", count, one);
                });
                break;
        }
        loop_.run();
        return exit_code_;
    }

  private:
    void listed(const Result<std::vector<DeadLetter>>& letters) {
        if (!letters) {
            return end(letters.error().detail);
        }
        for (const auto& letter : *letters) {
            std::fputs(line_of(letter).c_str(), stdout);
        }
        end();
    }

    void shown_one(const Result<std::optional<DeadLetter>>& letter) {
        if (!letter || !*letter) {
            return end(letter ? "no such dead letter" : letter.error().detail);
        }
        std::printf("%s\n%s\n", line_of(**letter).c_str(), body_of(**letter).c_str());
        end();
    }

    /// One that was named and is not there is a failure; of all, none is fine.
    void changed(const char* verb, const Result<std::size_t>& count, bool one) {
        if (!count || (one && *count == 0)) {
            return end(count ? "no such dead letter" : count.error().detail);
        }
        std::printf("%s %zu\n", verb, *count);
        end();
    }

    void end() {
        exit_code_ = 0;
        loop_.stop();
    }
    void end(const std::string& reason) {
        std::fprintf(stderr, "boardbus dlq: %s\n", escaped(reason).c_str());
        loop_.stop();
    }

    Loop loop_;
    transport::RabbitDlq dlq_;
    int exit_code_ = 1;
};

}  // namespace

int run_dlq(const Config& config, const DlqOptions& options) {
    if (config.event_transport == EventTransport::memory) {
        std::fputs(
            "boardbus dlq: with ADVANCED_EVENT_TRANSPORT=memory the dead letters live in the app and end with it\n",
            stderr);
        return 1;
    }
    return Run(config).go(options);
}

}  // namespace boardbus::cli
