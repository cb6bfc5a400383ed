// Any bytes as a message, as an envelope and as an event: whatever is accepted must come out of our own writers
// unchanged.
// SPDX-License-Identifier: Apache-2.0
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "base/utf8.h"
#include "board/activity.h"
#include "board/envelope.h"
#include "board/json.h"
#include "board/message.h"

namespace {

using namespace boardbus;
using namespace boardbus::board;

/// Unlike assert it stays in every build.
void require(bool claim) {
    if (!claim) {
        std::abort();
    }
}

std::string compact(std::string_view text) {
    std::string out;
    json::append_compact(out, {.type = json::Type::object, .spaced = true, .text = text});
    return out;
}

void check_text(std::string_view text) {
    if (!json::is_valid(text)) {
        return;
    }
    require(is_utf8(text));
    const std::string once = compact(text);
    require(once.size() <= text.size() && json::is_valid(once) && compact(once) == once);
    // The reader and the validator have to agree on nesting and on where the text ends.
    json::ObjectReader reader(text);
    while (reader.next()) {
    }
    require(reader.good() == (once[0] == '{'));
}

void check_string(std::string_view bytes) {
    if (!is_utf8(bytes)) {
        return;
    }
    std::string quoted;
    json::append_quoted(quoted, bytes);
    require(json::is_valid(quoted) && json::decode_string(quoted) == bytes);
}

void check_message(std::string_view text) {
    const auto message = parse_board_message(text);
    if (!message) {
        require(json::is_valid(error_frame(message.error())));
        return;
    }
    const Publication publication = seal(*message, "board", "event", "fallback", WallTime{});
    const auto envelope = decode_envelope(publication.body);
    require(envelope && envelope->message.action == message->action && envelope->message.user == message->user &&
            envelope->message.payload == message->payload && envelope->message.message == message->message);
    require(envelope->correlation_id == message->correlation_id.value_or("fallback"));
    const std::string activity = encode_activity(*envelope);
    const auto view = parse_activity(activity);
    require(view && view->json == activity && view->action == message->action);
}

void check_envelope_and_activity(std::string_view text) {
    if (const auto envelope = decode_envelope(text)) {
        require(json::is_valid(encode_activity(*envelope)) && fingerprint(*envelope).size() == 32);
    }
    if (const auto view = parse_activity(text)) {
        const std::string sent = std::string(view->before_count()) + "7" + std::string(view->after_count());
        require(json::is_valid(sent) && sent.find_first_of("\r\n") == std::string::npos);
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    check_text(text);
    check_string(text);
    check_message(text);
    check_envelope_and_activity(text);
    return 0;
}
