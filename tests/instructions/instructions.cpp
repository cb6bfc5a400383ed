// What tools/check_instructions.py counts the instructions of: the steps that are done for every message and every
// delivery, each some thousand times and nothing else.
//
//     instructions --list          name, units per round, rounds
//     instructions --about         what figures of two runs must have in common to be compared
//     instructions NAME ROUNDS     does it
//
// Nothing here depends on the time, on chance or on another process, so that two runs take the same instructions.
// SPDX-License-Identifier: Apache-2.0
#include <gnu/libc-version.h>

#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "board/activity.h"
#include "board/envelope.h"
#include "board/message.h"
#include "hub/drained_reader.h"
#include "hub/hub.h"
#include "hub/shard.h"
#include "web/edge.h"
#include "web/ws_codec.h"

namespace {

using namespace boardbus;
using hub::require;

constexpr std::string_view kMessage =
    R"({"action":"card_move","user":"ann","payload":{"card":"c-4711","from":"todo","to":"doing","index":3,)"
    R"("title":"Write the thing","labels":["a","b"]},"message":"moved \"it\"","correlation_id":"ann-000017"})";

board::Publication sealed(std::string_view board) {
    const auto message = board::parse_board_message(kMessage);
    require(message.has_value(), "the message is none");
    return board::seal(*message, std::string(board), "0f4a6a4e-58e4-4b56-9d6b-3a0e6d1f2c3b", "unused", WallTime{});
}

std::string activity_of(std::string_view board) {
    const auto envelope = board::decode_envelope(sealed(board).body);
    require(envelope.has_value(), "the envelope is none");
    return board::encode_activity(*envelope);
}

/// Hub, shard and readers, as an app with one loop has them.
class FanOut {
  public:
    FanOut(std::size_t boards, std::size_t readers_per_board) : readers_(boards * readers_per_board) {
        hub_.add_shard(shard_);
        for (std::size_t board = 0; board < boards; ++board) {
            const auto name = "board-" + std::to_string(board);
            activities_.push_back(activity_of(name));
            for (std::size_t reader = 0; reader < readers_per_board; ++reader) {
                members_.push_back(std::make_unique<hub::DrainedReader>(shard_, drain_));
                shard_.join(*members_.back(), name);
            }
        }
    }

    /// One event on each board, out of one batch.
    void run(std::size_t rounds) {
        for (std::size_t round = 0; round < rounds; ++round) {
            std::vector<board::ActivityView> events;
            events.reserve(activities_.size());
            for (const std::string& text : activities_) {
                events.push_back(std::move(*board::parse_activity(text)));
            }
            hub_.on_activities(std::move(events));
            loop_.turn(std::chrono::milliseconds(0));
        }
        require(counters_.websocket.deliveries.get() == rounds * readers_, "a delivery is missing");
    }

  private:
    hub::Drain drain_;
    Loop loop_;
    telemetry::Metrics metrics_;
    hub::Hub hub_{loop_, web::make_ws_encoder(), metrics_};
    hub::SlowBudget budget_{1 << 20, 1 << 20};
    telemetry::LoopCounters counters_;
    hub::Shard shard_{loop_, hub_, budget_, counters_};
    std::size_t readers_;
    std::vector<std::string> activities_;
    std::vector<std::unique_ptr<hub::DrainedReader>> members_;
};

constexpr std::size_t kReaders = 200;
constexpr std::size_t kBoards = 16;
constexpr std::size_t kFrames = 64;

void deliver(std::size_t rounds) {
    FanOut(1, kReaders).run(rounds);
}

void fan_out_events(std::size_t rounds) {
    FanOut(kBoards, 1).run(rounds);
}

void parse_and_seal(std::size_t rounds) {
    std::size_t bytes = 0;
    for (std::size_t round = 0; round < rounds; ++round) {
        bytes += sealed("board").body.size();
    }
    require(bytes > rounds * kMessage.size() / 2, "bodies are missing");
}

void decode_envelopes(std::size_t rounds) {
    const auto publication = sealed("board");
    for (std::size_t round = 0; round < rounds; ++round) {
        require(board::decode_envelope(publication.body).has_value(), "the envelope is none");
    }
}

void encode_activities(std::size_t rounds) {
    const auto envelope = board::decode_envelope(sealed("board").body);
    for (std::size_t round = 0; round < rounds; ++round) {
        require(board::encode_activity(*envelope).size() > kMessage.size() / 2, "the activity is none");
    }
}

/// kFrames masked text frames per round. Their key is zero, so that unmasking leaves them as they are for the next round.
void parse_frames(std::size_t rounds, std::size_t piece_bytes) {
    std::string stream;
    for (std::size_t frame = 0; frame < kFrames; ++frame) {
        auto header = std::string(web::frame_header(web::Opcode::text, kMessage.size()).view());
        header[1] = static_cast<char>(header[1] | 0x80);
        stream.append(header).append(4, '\0').append(kMessage);
    }
    const web::WsRules rules{.message_bytes_max = 1 << 20};
    web::WsInput input;
    std::size_t texts = 0;
    for (std::size_t round = 0; round < rounds; ++round) {
        for (std::size_t at = 0; at < stream.size(); at += piece_bytes) {
            std::span<char> bytes(stream.data() + at, std::min(piece_bytes, stream.size() - at));
            while (input.next(bytes, rules).kind == web::WsEvent::Kind::text) {
                ++texts;
            }
        }
    }
    require(texts == rounds * kFrames, "a frame is missing");
}

void parse_whole_frames(std::size_t rounds) {
    parse_frames(rounds, SIZE_MAX);
}

void parse_cut_frames(std::size_t rounds) {
    parse_frames(rounds, 200);  // No frame of 260 bytes lies in one piece.
}

struct Scenario {
    std::string_view name;
    void (*run)(std::size_t rounds);
    std::size_t units;  // Per round.
    std::size_t rounds;
};

constexpr Scenario kScenarios[] = {
    {"delivery", deliver, kReaders, 200},
    {"event", fan_out_events, kBoards, 200},
    {"message_parsed_and_sealed", parse_and_seal, 1, 2000},
    {"envelope_decoded", decode_envelopes, 1, 2000},
    {"activity_encoded", encode_activities, 1, 2000},
    {"frame_parsed", parse_whole_frames, kFrames, 100},
    {"frame_in_pieces_parsed", parse_cut_frames, kFrames, 100},
};

int list() {
    for (const Scenario& one : kScenarios) {
        std::printf("%s %zu %zu\n", one.name.data(), one.units, one.rounds);
    }
    return 0;
}

int about() {
#if defined(__clang__)
    std::printf("compiler clang %s\n", __clang_version__);
#else
    std::printf("compiler gcc %s\n", __VERSION__);
#endif
    std::printf("libc glibc %s\n", gnu_get_libc_version());
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    const std::string_view name = argc > 1 ? argv[1] : "";
    if (argc == 2 && name == "--list") {
        return list();
    }
    if (argc == 2 && name == "--about") {
        return about();
    }
    for (const Scenario& one : kScenarios) {
        if (argc == 3 && one.name == name) {
            std::size_t rounds = 0;
            const std::string_view text = argv[2];
            require(std::from_chars(text.data(), text.data() + text.size(), rounds).ec == std::errc(),
                    "ROUNDS: a number");
            one.run(rounds);
            return 0;
        }
    }
    std::fprintf(stderr, "usage: instructions --list | --about | NAME ROUNDS\n");
    return 2;
}
