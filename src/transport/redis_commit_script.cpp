// SPDX-License-Identifier: Apache-2.0
#include "transport/redis_commit_script.h"

#include <cstdint>
#include <utility>

#include "base/digest.h"
#include "base/hex.h"
#include "board/cursor.h"

namespace boardbus::transport {
namespace {

using board::CommitResult;
using Status = CommitResult::Status;

// KEYS: 1 the event's key, 2 the key that an event gets whose key belongs to another one, 3 state, 4 log, 5 boards, 6 the board's stream.
// ARGV: 1 fingerprint, 2 event id, 3 activity without its last brace, 4 board, 5 hash of the event id, 6 now, 7 epoch of a history that
// has to begin. The names in capitals are defined above it, see commit_script().
//
// A key's value is `<fingerprint> <event id> <epoch>.<pos>.<seq>`, once without the last word. A value of another form is another
// implementation's mark for an event that it has handled.
//
// The log's own ids are what numbers events: an XADD that does not find the log (NOMKSTREAM) or is refused for its id is answered before
// anything else has been written. A board that has no number yet begins at its pos, which is above all that it ever had. A board's place
// in `boards` is renewed only now and then, and corrected when it comes up for eviction: its newest entry knows better.
constexpr std::string_view kCommitScript = R"lua(
local call = redis.call
local key, outcome = KEYS[1], 1
local mark = call('GET', key)
if mark then
  local owner = string.match(mark, '^(%x+) .+$')
  if owner and owner ~= ARGV[1] then
    key, outcome = KEYS[2], 3
    mark = call('GET', key)
    -- A client may have chosen such a key itself, for something else. To overwrite its mark beats to lose this event.
    if mark and string.match(mark, '^(%x+) .+$') ~= ARGV[1] then
      mark = nil
    end
  end
  if mark then
    if owner then
      call('EXPIRE', key, TTL)
    end
    return {2, mark}
  end
end
if not redis.acl_check_cmd('PUBLISH', CHANNEL, '') then
  return redis.error_reply('NOPERM this user may not publish on the channel')
end

local board, field = ARGV[4], 'seq:' .. ARGV[4]
local state = call('HMGET', KEYS[3], 'epoch', 'pos', 'kept', field)
local epoch, pos, kept, seq = state[1], tonumber(state[2]) or 0, tonumber(state[3]) or 0, tonumber(state[4])
local n, s, event, added
for attempt = 1, 3 do
  if not epoch then
    redis.pcall('ZUNIONSTORE', PREFIX .. 'stale', 2, PREFIX .. 'stale', KEYS[5])
    call('UNLINK', KEYS[3], KEYS[4], KEYS[5])
    call('HSET', KEYS[3], 'epoch', ARGV[7])
    epoch, pos, kept, seq = ARGV[7], 0, 0, nil
  end
  n = string.format('%.0f', pos + 1)
  s = seq and string.format('%.0f', seq + 1) or n
  event = ARGV[3] .. ',"epoch":"' .. epoch .. '","pos":' .. n .. ',"seq":' .. s ..
    ',"cursor":"' .. epoch .. '.' .. n .. '.' .. s .. '.' .. ARGV[5] .. '"}'
  if pos == 0 then
    added = redis.pcall('XADD', KEYS[4], '0-1', 'time', ARGV[6], 'board', board, 'seq', s, 'id', ARGV[2], 'event', event)
  else
    added = redis.pcall('XADD', KEYS[4], 'NOMKSTREAM', '0-' .. n, 'time', ARGV[6], 'board', board, 'seq', s, 'id', ARGV[2],
      'event', event)
  end
  if type(added) == 'string' then
    break
  elseif not added or string.find(added.err, 'WRONGTYPE', 1, true) then
    epoch = nil
  elseif not string.find(added.err, 'equal or smaller', 1, true) then
    return added
  else
    local about = call('XINFO', 'STREAM', KEYS[4])
    for i = 1, #about, 2 do
      if about[i] == 'last-generated-id' then
        pos = tonumber(string.match(about[i + 1], '^0%-(%d+)$'))
      end
    end
    epoch = pos and epoch
  end
end
if type(added) ~= 'string' then
  return redis.error_reply('ERR the log takes no event')
end

if not seq then
  call('UNLINK', KEYS[6])
end
if type(redis.pcall('XADD', KEYS[6], '0-' .. s, 'time', ARGV[6], 'pos', n, 'event', event)) == 'table' then
  call('UNLINK', KEYS[6])
  call('XADD', KEYS[6], '0-' .. s, 'time', ARGV[6], 'pos', n, 'event', event)
end
kept = kept + 1
-- The list is gone, or somebody else's key: other boards come back to it with their events.
local function list_anew()
  call('UNLINK', KEYS[5])
  call('ZADD', KEYS[5], n, board)
end
if (not seq or s % BOARD_STEP == 0) and type(redis.pcall('ZADD', KEYS[5], n, board)) == 'table' then
  list_anew()
end

if n % LOG_STEP == 0 or s % BOARD_STEP == 0 or kept > SIZE then
  local cutoff = ARGV[6] - AGE
  local function is_old(entry)
    return (tonumber(entry[2][2]) or cutoff) < cutoff
  end
  local function age(stream)
    local last = call('XRANGE', stream, '-', '+', 'COUNT', 1)[1]
    if not last or not is_old(last) then
      return 0
    end
    for _, entry in ipairs(call('XRANGE', stream, '-', '+', 'COUNT', 32)) do
      if not is_old(entry) then
        break
      end
      last = entry
    end
    return call('XTRIM', stream, 'MINID', '0-' .. string.format('%.0f', tonumber(string.match(last[1], '%d+$')) + 1))
  end
  -- The board that has been idle longest and its newest entry. Nothing when its place was wrong and has been corrected.
  local function idlest()
    local first = redis.pcall('ZRANGE', KEYS[5], 0, 0, 'WITHSCORES')
    if not first[1] then
      return list_anew()
    end
    local newest = redis.pcall('XREVRANGE', PREFIX .. 'board:' .. first[1], '+', '-', 'COUNT', 1)[1]
    local newest_pos = newest and tonumber(newest[2][4])
    if newest_pos and newest_pos > tonumber(first[2]) then
      call('ZADD', KEYS[5], newest[2][4], first[1])
      return nil
    end
    return first[1], newest
  end
  local function evict(idle, newest)
    local stream = PREFIX .. 'board:' .. idle
    local last = newest and tonumber(newest[2][4]) or pos
    if last > (tonumber(call('HMGET', KEYS[3], 'forgotten')[1]) or 0) then
      call('HSET', KEYS[3], 'forgotten', string.format('%.0f', last))
    end
    kept = kept - (tonumber(redis.pcall('XLEN', stream)) or 0)
    call('UNLINK', stream)
    call('HDEL', KEYS[3], 'seq:' .. idle)
    call('ZREM', KEYS[5], idle)
  end

  if n % LOG_STEP == 0 then
    call('XTRIM', KEYS[4], 'MAXLEN', SIZE)
    age(KEYS[4])
    for i = 1, 16 do
      local idle, newest = idlest()
      if not idle or idle == board or newest and not is_old(newest) then
        break
      end
      evict(idle, newest)
    end
    local lost = redis.pcall('ZPOPMIN', PREFIX .. 'stale', 16)
    if lost.err then
      call('UNLINK', PREFIX .. 'stale')
    end
    for i = 1, #lost, 2 do
      if lost[i] ~= board and call('HEXISTS', KEYS[3], 'seq:' .. lost[i]) == 0 then
        call('UNLINK', PREFIX .. 'board:' .. lost[i])
      end
    end
  end
  if s % BOARD_STEP == 0 then
    kept = kept - call('XTRIM', KEYS[6], 'MAXLEN', BOARD_SIZE) - age(KEYS[6])
  end
  for i = 1, 4 do
    if kept <= SIZE then
      break
    end
    local idle, newest = idlest()
    if idle == board then
      kept = call('XLEN', KEYS[6])
      break
    end
    if idle then
      evict(idle, newest)
    end
  end
end

call('HSET', KEYS[3], 'pos', n, 'kept', kept, field, s)
call('SET', key, ARGV[1] .. ' ' .. ARGV[2] .. ' ' .. epoch .. '.' .. n .. '.' .. s, 'EX', TTL)
call('PUBLISH', CHANNEL, event)
return {outcome, ''}
)lua";
constexpr long long kFresh = 1;
constexpr long long kDuplicate = 2;
constexpr long long kConflict = 3;

// KEYS: 1 a key of the kind that commits write, 2 state, 3 log, 4 boards, 5 a board's stream. ARGV: 1 its value, 2 channel.
constexpr std::string_view kProbeScript = R"lua(#!lua
for _, command in ipairs({
  {'GET', KEYS[1]}, {'EXPIRE', KEYS[1], '1'}, {'DEL', KEYS[1]}, {'TYPE', KEYS[1]}, {'SADD', KEYS[1], 'm'}, {'SCARD', KEYS[1]},
  {'SREM', KEYS[1], 'm'}, {'HMGET', KEYS[2], 'f'}, {'HSET', KEYS[2], 'f', 'v'}, {'HDEL', KEYS[2], 'f'},
  {'HEXISTS', KEYS[2], 'f'}, {'XADD', KEYS[3], '*', 'f', 'v'}, {'XINFO', 'STREAM', KEYS[3]}, {'XTRIM', KEYS[3], 'MAXLEN', '1'},
  {'XRANGE', KEYS[3], '-', '+'}, {'ZADD', KEYS[4], '1', 'm'}, {'ZRANGE', KEYS[4], '0', '0'}, {'ZREM', KEYS[4], 'm'},
  {'ZPOPMIN', KEYS[4], '1'}, {'ZUNIONSTORE', KEYS[4], '1', KEYS[4]}, {'XADD', KEYS[5], '*', 'f', 'v'},
  {'XREVRANGE', KEYS[5], '+', '-'}, {'XLEN', KEYS[5]}, {'UNLINK', KEYS[5]}, {'PUBLISH', ARGV[2], ''}}) do
  if not redis.acl_check_cmd(unpack(command)) then
    return redis.error_reply('NOPERM this user may not ' .. command[1] .. ' ' .. command[2])
  end
end
return redis.call('SET', KEYS[1], ARGV[1], 'EX', 60)
)lua";
// In the form of our marks, so that an event whose key is empty meets a conflict and is delivered.
constexpr std::string_view kProbeMark = "0000000000000000 probe";

// KEYS: 1 state, 2 log, 3 boards. ARGV: 1 prefix of the boards' streams. Answers how many events went.
// Nothing goes when twice the memory of the whole history would not be enough: then it is not what fills Redis. Boards keep their newest event,
// and with it their numbers (a board without events is taken for one that nobody uses), as long as there are others that can go instead.
constexpr std::string_view kMakeRoomScript = R"lua(#!lua flags=allow-oom
local function share(count)
  return math.ceil(count / 8)
end
local function number_in(text, name)
  return tonumber(string.match(text, name .. ':(%d+)'))
end
local length = redis.call('XLEN', KEYS[2])
local kept = tonumber(redis.call('HGET', KEYS[1], 'kept') or 0)
local info, bytes = redis.pcall('INFO', 'memory'), redis.pcall('MEMORY', 'USAGE', KEYS[2], 'SAMPLES', 20)
if type(info) == 'string' and type(bytes) == 'number' then
  local missing = number_in(info, 'used_memory') - number_in(info, 'maxmemory')
  if missing > 2 * bytes * (1 + kept / math.max(length, 1)) then
    return 0
  end
end
local gone = redis.call('XTRIM', KEYS[2], 'MAXLEN', length - share(length))
local before, goal = kept, kept - share(kept)
local boards = redis.call('ZRANGE', KEYS[3], 0, 999)
for _, board in ipairs(boards) do
  if kept <= goal then
    break
  end
  local stream = ARGV[1] .. board
  local count = redis.call('XLEN', stream)
  kept = kept - redis.call('XTRIM', stream, 'MAXLEN', math.max(1, count - (kept - goal)))
end
if gone + before - kept == 0 then
  for _, board in ipairs(boards) do
    kept = kept - redis.call('XLEN', ARGV[1] .. board)
    redis.call('UNLINK', ARGV[1] .. board)
    redis.call('HDEL', KEYS[1], 'seq:' .. board)
    redis.call('ZREM', KEYS[3], board)
  end
  if #boards > 0 then
    redis.call('HSET', KEYS[1], 'kept', math.max(kept, 0), 'forgotten', redis.call('HGET', KEYS[1], 'pos') or 0)
  end
  return #boards
end
redis.call('HSET', KEYS[1], 'kept', kept)
return gone + before - kept
)lua";

/// A text in Lua: everything but letters and digits as a number.
std::string quoted(std::string_view text) {
    std::string out = "'";
    for (const char c : text) {
        const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == ':';
        const std::string digits = std::to_string(static_cast<unsigned char>(c));
        out += plain ? std::string(1, c) : '\\' + std::string(3 - digits.size(), '0') + digits;
    }
    return out + "'";
}

/// The script with what is the same for all events: as arguments they would cost a tenth of the step.
std::string commit_script(std::chrono::seconds ttl, std::string_view channel, const RedisHistoryKeys& keys,
                          const HistoryBounds& bounds) {
    return "#!lua\nlocal TTL, CHANNEL, PREFIX = " + std::to_string(ttl.count()) + ", " + quoted(channel) + ", " +
           quoted(keys.prefix) +
           "\nlocal SIZE, LOG_STEP, BOARD_SIZE, BOARD_STEP, AGE = " + std::to_string(bounds.size) + ", " +
           std::to_string(bounds.log_step()) + ", " + std::to_string(bounds.of_board()) + ", " +
           std::to_string(bounds.board_step()) + ", " + std::to_string(bounds.age.count()) + std::string(kCommitScript);
}

CommitResult from_error(std::string_view text) {
    Error error = redis_error(text);
    const Status status = error.code == Errc::unavailable ? Status::unavailable : Status::failed;
    return {.status = status, .detail = std::move(error.detail)};
}

}  // namespace

RedisCommitScript::RedisCommitScript(std::string prefix, std::chrono::seconds ttl, std::string channel,
                                     RedisHistoryKeys keys, HistoryBounds bounds)
    : keys_(std::move(keys)),
      prefix_(std::move(prefix)),
      channel_(std::move(channel)),
      script_(commit_script(ttl, channel_, keys_, bounds)),
      hash_(to_hex(sha1(script_))) {}

void RedisCommitScript::add_commit(RedisCommands& commands, const board::CommitRequest& request, WallTime now,
                                   std::string_view epoch) const {
    const std::string key = prefix_ + ":" + request.idempotency_key;
    const auto seconds = std::chrono::floor<std::chrono::seconds>(now.time_since_epoch());
    const std::string_view activity = request.activity;
    commands.add({"EVALSHA", hash_, "6", key, key + ":" + request.fingerprint, keys_.state, keys_.log, keys_.boards,
                  keys_.of_board(request.board_id), request.fingerprint, request.event_id,
                  activity.substr(0, activity.size() - 1), request.board_id, board::event_hash_text(request.event_id),
                  std::to_string(seconds.count()), epoch});
}

void RedisCommitScript::add_load(RedisCommands& commands) const {
    commands.add({"SCRIPT", "LOAD", script_});
}

void RedisCommitScript::add_probe(RedisCommands& commands) const {
    commands.add({"EVAL", kProbeScript, "5", prefix_ + ":", keys_.state, keys_.log, keys_.boards, keys_.of_board(""),
                  kProbeMark, channel_});
}

void RedisCommitScript::add_make_room(RedisCommands& commands) const {
    commands.add({"EVAL", kMakeRoomScript, "3", keys_.state, keys_.log, keys_.boards, keys_.board_prefix});
}

long long number_at(const redisReply& reply, std::size_t index) {
    const bool there = reply.type == REDIS_REPLY_ARRAY && reply.elements > index;
    return there && reply.element[index]->type == REDIS_REPLY_INTEGER ? reply.element[index]->integer : 0;
}

CommitResult to_commit_result(const redisReply& reply) {
    if (is_error(reply)) {
        return from_error(text_of(reply));
    }
    switch (reply.elements == 2 ? number_at(reply, 0) : 0) {
        case kFresh:
            return {.status = Status::fresh, .detail = ""};
        case kDuplicate:
            return {.status = Status::duplicate, .detail = std::string(text_of(*reply.element[1]))};
        case kConflict:
            return {.status = Status::conflict, .detail = "the key belongs to another event"};
        default:
            return {.status = Status::unavailable, .detail = "Redis answered the commit with something else"};
    }
}

}  // namespace boardbus::transport
