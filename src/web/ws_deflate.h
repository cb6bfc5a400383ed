// permessage-deflate, always without context takeover in both directions.
//
// So an event is compressed once for all its readers, an idle socket owns no window, and one Deflater in the process and
// one Inflater per loop are enough. Spec: RFC 7692.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

struct z_stream_s;  // NOLINT(readability-identifier-naming): zlib's name.

namespace boardbus::web {

/// What was agreed with one client.
struct DeflateAgreement {
    int server_window_bits = 15;  ///< 8 to 15: the largest window our compressed frames to this client may use.
    std::string response;         ///< The value of our Sec-WebSocket-Extensions.
};

/// Accepts the first offer that can be honoured; nothing when there is none, which is no failure of the handshake.
/// An offer with a parameter that is unknown, repeated or bad is passed over, and the next one is looked at. A smaller
/// window for our frames can always be promised, 8 bits too, which zlib cannot write: an endpoint may send what it likes
/// uncompressed (RFC 7692 §6). `offers` is the value of Sec-WebSocket-Extensions, several header lines joined by commas.
/// Spec: RFC 7692 §5, §7.1.
std::optional<DeflateAgreement> agree_on_deflate(std::string_view offers);

/// Compresses whole messages with the full window of 15 bits. One per process, about 260 KB.
class Deflater {
  public:
    Deflater();
    ~Deflater();

    /// The payload of a frame that is marked Compressed::yes. Lives until the next call. Spec: RFC 7692 §7.2.1.
    std::string_view deflate(std::string_view payload);

  private:
    struct End {
        void operator()(z_stream_s* stream) const;
    };
    std::unique_ptr<z_stream_s, End> stream_;
    std::string out_;
};

/// Decompresses whole messages. One per loop, about 40 KB plus the largest message so far.
class Inflater {
  public:
    Inflater();
    ~Inflater();

    /// The message in `payload`, or the close code its sender earns: kTooBig beyond `bytes_max` (judged while
    /// inflating, so a bomb costs no memory), kBadText for what is no DEFLATE data. Lives until the next call.
    /// Spec: RFC 7692 §7.2.2.
    std::expected<std::string_view, std::uint16_t> inflate(std::string_view payload, std::size_t bytes_max);

  private:
    struct End {
        void operator()(z_stream_s* stream) const;
    };
    std::unique_ptr<z_stream_s, End> stream_;
    std::string out_;  // Bound: the largest bytes_max.
};

}  // namespace boardbus::web
