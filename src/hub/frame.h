// An event in every form that a reader may want, built once for the whole process.
//
// The hub fills a Batch on the bus loop; shards on all loops then only read it. Bytes of all events lie in one text, so
// that a batch costs a handful of allocations whatever the number of events and readers.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/loop.h"
#include "hub/reader.h"

namespace boardbus::hub {

/// How WebSocket bytes are made. The codec lives in web/, which the hub cannot see.
struct WsEncoder {
    /// Appends `text` as one unmasked text frame.
    std::function<void(std::string_view text, std::string& out)> text;
    /// The same compressed with no_context_takeover.
    std::function<void(std::string_view text, std::string& out)> deflated;
};

/// A part of Batch::bytes.
struct Slice {
    std::size_t at = 0;
    std::size_t size = 0;
};

struct EncodedEvent {
    Slice board;
    std::array<Slice, kForms> forms;  ///< Size 0: nobody wanted this form when the event was encoded.
};

struct Batch {
    std::string bytes;
    std::vector<EncodedEvent> events;
    Instant arrived;  ///< When the process read the events from the bus.
    bool for_streams_of_all =
        true;  ///< False: repairs of boards, which the streams of all boards have been told to miss.

    std::string_view text(Slice slice) const { return std::string_view(bytes).substr(slice.at, slice.size); }
};

/// A server-sent event in its two forms, one inside the other: the chunk is the event with a frame of HTTP around it.
struct SseSlices {
    Slice chunk;
    Slice plain;
};

/// An event in words, before it takes a form.
struct EventText {
    std::string_view id;  ///< SSE only, as `name`.
    std::string_view name;
    std::string_view json;
};

/// Appends one event in the form of one reader; never compressed, which no reader may insist on.
void append_event(std::string& out, Form form, const WsEncoder& encoder, const EventText& event);

/// Appends lines for the stream itself (retry, id), which no listener sees. `lines` are whole and our own. Spec: HTML §9.2.6.
void append_sse_lines(std::string& out, Form form, std::string_view lines);

/// Appends one server-sent event to `out`. CR, LF and NUL in `id` and `event` become spaces; `data` is one line of
/// JSON, which has none. An empty `id` or `event` leaves its field out. Spec: HTML §9.2.6, RFC 9112 §7.1.
SseSlices append_sse(std::string& out, std::string_view id, std::string_view event, std::string_view data);

}  // namespace boardbus::hub
