// SPDX-License-Identifier: Apache-2.0
#include "transport/redis_history.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "board/activity.h"

namespace boardbus::transport {
namespace {

// KEYS: 1 state, 2 stream. ARGV: 1 the field of the newest number in the state, 2 `after` or `before`, 3 that number, 4 events at most,
// 5 bytes at most, beyond the first event. Answers {epoch, first number, newest number, events, forgotten}, oldest first.
// A stream whose board has no number is a rest of a lost history. The log's own end counts, whatever the state says.
constexpr std::string_view kReadScript = R"lua(#!lua flags=no-writes
local stream, forward, limit = KEYS[2], ARGV[2] == 'after', tonumber(ARGV[4])
local state = redis.call('HMGET', KEYS[1], 'epoch', ARGV[1], 'forgotten')
if not state[1] or not state[2] then
  return {state[1] or '', '0', '0', {}, state[3] or '0'}
end
local function number_of(entry)
  return entry and string.match(entry[1], '%d+$') or '0'
end
local function event_of(entry)
  return entry[2][#entry[2]]
end
local first = number_of(redis.call('XRANGE', stream, '-', '+', 'COUNT', 1)[1])
local newest = state[2]
if ARGV[1] == 'pos' then
  local last = number_of(redis.call('XREVRANGE', stream, '+', '-', 'COUNT', 1)[1])
  newest = tonumber(last) > tonumber(newest) and last or newest
end
local events, bytes, place = {}, 0, '(0-' .. ARGV[3]
while #events < limit do
  local count = math.min(16, limit - #events)
  local part = forward and redis.call('XRANGE', stream, place, '+', 'COUNT', count)
    or redis.call('XREVRANGE', stream, place, '-', 'COUNT', count)
  for _, entry in ipairs(part) do
    bytes = bytes + #event_of(entry)
    if #events > 0 and bytes > tonumber(ARGV[5]) then
      limit = 0
      break
    end
    events[#events + 1] = event_of(entry)
    place = '(' .. entry[1]
  end
  if #part < count then
    break
  end
end
if not forward then
  local turned = {}
  for i = #events, 1, -1 do
    turned[#turned + 1] = events[i]
  end
  events = turned
end
return {state[1], first, newest, events, state[3] or '0'}
)lua";

// KEYS: 1 state, 2 log. Answers {epoch, newest pos, id of its event}.
constexpr std::string_view kTailScript = R"lua(#!lua flags=no-writes
local state = redis.call('HMGET', KEYS[1], 'epoch', 'pos')
local last = redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 1)[1]
local number, id = state[2] or '0', ''
local fields = last and last[2] or {}
local listed = last and string.match(last[1], '%d+$')
if listed and tonumber(listed) >= tonumber(number) then
  number = listed
  for i = 1, #fields, 2 do
    if fields[i] == 'id' then
      id = fields[i + 1]
    end
  end
end
return {state[1] or '', number, id}
)lua";

std::uint64_t count_of(const redisReply& reply) {
    const std::string_view text = text_of(reply);
    std::uint64_t number = 0;
    std::from_chars(text.data(), text.data() + text.size(), number);
    return number;
}

/// None of the events has `after` or less as its `number`.
Result<board::HistoryPage> to_page(const redisReply& reply, std::uint64_t board::Position::* number,
                                   std::uint64_t after) {
    if (is_error(reply)) {
        return std::unexpected(redis_error(text_of(reply)));
    }
    if (reply.type != REDIS_REPLY_ARRAY || reply.elements != 5 || reply.element[3]->type != REDIS_REPLY_ARRAY) {
        return fail(Errc::unavailable, "Redis answered a read of the history with something else");
    }
    board::HistoryPage page{.epoch = std::string(text_of(*reply.element[0])),
                            .events = {},
                            .first = count_of(*reply.element[1]),
                            .last = count_of(*reply.element[2]),
                            .forgotten = count_of(*reply.element[4])};
    const redisReply& events = *reply.element[3];
    page.events.reserve(events.elements);
    for (std::size_t i = 0; i < events.elements; ++i) {
        // An entry that somebody else wrote there is no event of ours, nor is one that contradicts the order.
        auto event = board::parse_activity(text_of(*events.element[i]));
        if (!event || !event->position || event->position->epoch != page.epoch) {
            continue;
        }
        const std::uint64_t own = (*event->position).*number;
        if (own > after && own <= page.last) {
            after = own;
            page.events.push_back(std::move(*event));
        }
    }
    return page;
}

Error reported(const Error& error) {
    // The callers know two kinds of failure; what Redis refuses to this user is an outage for them.
    return {error.code == Errc::timeout ? Errc::timeout : Errc::unavailable, error.detail};
}

}  // namespace

RedisHistory::RedisHistory(Loop& loop, RedisOptions redis, std::string_view channel, OnState on_state)
    : keys_(redis.tagged(channel)), on_state_(std::move(on_state)), connection_(loop, *this, std::move(redis)) {}

void RedisHistory::read_board_after(std::string board, std::uint64_t after, std::size_t limit,
                                    board::HistoryDone done) {
    read(board_sequence(board), Direction::after, after, limit, std::move(done));
}

void RedisHistory::read_board_before(std::string board, std::uint64_t before, std::size_t limit,
                                     board::HistoryDone done) {
    read(board_sequence(board), Direction::before, std::max<std::uint64_t>(before, 1), limit, std::move(done));
}

void RedisHistory::read_all_after(std::uint64_t after, std::size_t limit, board::HistoryDone done) {
    read({keys_.log, "pos", &board::Position::pos}, Direction::after, after, limit, std::move(done));
}

RedisHistory::Sequence RedisHistory::board_sequence(const std::string& board) const {
    return {keys_.of_board(board), "seq:" + board, &board::Position::seq};
}

void RedisHistory::read(const Sequence& from, Direction direction, std::uint64_t place, std::size_t limit,
                        board::HistoryDone done) {
    const std::size_t most = std::min(limit, kPageEventsMax);
    const auto commands =
        RedisCommands().add({"EVAL", kReadScript, "2", keys_.state, from.stream, from.newest,
                             direction == Direction::after ? "after" : "before", std::to_string(place),
                             std::to_string(most), std::to_string(kPageBytesMax)});
    const std::uint64_t floor = direction == Direction::after ? place : 0;
    connection_.send(commands, [number = from.number, floor,
                                done = std::move(done)](Result<std::vector<RedisReply>> replies) mutable {
        if (!replies) {
            return done(std::unexpected(reported(replies.error())));
        }
        auto page = to_page(*replies->front(), number, floor);
        done(page ? std::move(page) : std::unexpected(reported(page.error())));
    });
}

void RedisHistory::read_tail(TailDone done) {
    const auto commands = RedisCommands().add({"EVAL", kTailScript, "2", keys_.state, keys_.log});
    connection_.send(commands, [done = std::move(done)](Result<std::vector<RedisReply>> replies) mutable {
        if (!replies) {
            return done(std::unexpected(reported(replies.error())));
        }
        const redisReply& reply = *replies->front();
        if (reply.type != REDIS_REPLY_ARRAY || reply.elements != 3) {
            return done(std::unexpected(reported(redis_error(text_of(reply)))));
        }
        done(HistoryTail{.epoch = std::string(text_of(*reply.element[0])),
                         .pos = count_of(*reply.element[1]),
                         .event_id = std::string(text_of(*reply.element[2]))});
    });
}

}  // namespace boardbus::transport
