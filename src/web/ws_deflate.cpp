// SPDX-License-Identifier: Apache-2.0
#include "web/ws_deflate.h"

#include <zlib.h>

#include <algorithm>
#include <cassert>
#include <new>
#include <utility>

#include "web/ws_codec.h"
#include "web/ws_extensions.h"

namespace boardbus::web {

namespace {

// Every flushed block ends so; the wire leaves it out. Spec: RFC 7692 §7.2.1.
constexpr std::string_view kTail("\x00\x00\xFF\xFF", 4);

constexpr int kWindowBits = 15;

constexpr std::size_t kFirstOutBytes = 4096;

/// 8 to 15 in decimal without leading zeros, else nothing. Spec: RFC 7692 §7.1.2.
std::optional<int> window_bits(std::string_view text) {
    if (text.size() == 1 && (text[0] == '8' || text[0] == '9')) {
        return text[0] - '0';
    }
    if (text.size() == 2 && text[0] == '1' && text[1] >= '0' && text[1] <= '5') {
        return 10 + text[1] - '0';
    }
    return std::nullopt;
}

/// The parameters of one permessage-deflate offer; `valid` is false once one of them is unknown, repeated or bad.
struct Offer {
    bool valid = true;
    bool server_no_context_takeover = false;
    bool client_no_context_takeover = false;
    bool client_max_window_bits = false;
    std::optional<int> server_max_window_bits;

    void add(const ExtensionParameter& parameter) {
        const auto bits = parameter.value ? window_bits(*parameter.value) : std::nullopt;
        const auto once = [](bool& seen) { return !std::exchange(seen, true); };
        if (parameter.name == "server_no_context_takeover") {
            valid = valid && once(server_no_context_takeover) && !parameter.value;
        } else if (parameter.name == "client_no_context_takeover") {
            valid = valid && once(client_no_context_takeover) && !parameter.value;
        } else if (parameter.name == "client_max_window_bits") {
            // Our inflater reads every window, so a value is checked and not answered.
            valid = valid && once(client_max_window_bits) && (!parameter.value || bits);
        } else if (parameter.name == "server_max_window_bits") {
            valid = valid && !server_max_window_bits && bits;
            server_max_window_bits = bits;
        } else {
            valid = false;
        }
    }
};

DeflateAgreement agreement(const Offer& offer) {
    DeflateAgreement answer;
    answer.response = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
    if (offer.server_max_window_bits) {
        answer.server_window_bits = *offer.server_max_window_bits;
        answer.response += "; server_max_window_bits=" + std::to_string(answer.server_window_bits);
    }
    return answer;
}

Bytef* as_bytes(const char* text) {
    return reinterpret_cast<Bytef*>(const_cast<char*>(text));
}

void set_input(z_stream& stream, std::string_view input) {
    stream.next_in = as_bytes(input.data());
    stream.avail_in = static_cast<uInt>(input.size());
}

/// Points the stream at the free part of `out` behind `used` bytes.
void set_output(z_stream& stream, std::string& out, std::size_t used) {
    stream.next_out = as_bytes(out.data() + used);
    stream.avail_out = static_cast<uInt>(out.size() - used);
}

}  // namespace

std::optional<DeflateAgreement> agree_on_deflate(std::string_view offers) {
    ExtensionReader reader(offers);
    while (const auto name = reader.next_extension()) {
        Offer offer;
        offer.valid = *name == "permessage-deflate";
        while (const auto parameter = reader.next_parameter()) {
            offer.add(*parameter);
        }
        if (offer.valid && reader.good()) {
            return agreement(offer);
        }
    }
    return std::nullopt;
}

Deflater::Deflater() = default;
Deflater::~Deflater() = default;

void Deflater::End::operator()(z_stream_s* stream) const {
    deflateEnd(stream);
    delete stream;
}

std::string_view Deflater::deflate(std::string_view payload) {
    if (!stream_) {
        auto fresh = std::make_unique<z_stream>();
        // Level 1: events are small and the loop is shared; higher levels cost several times more for a few percent.
        // Memory level 8: (1 << 17) for the window + (1 << 17) for hash and output = 256 KB.
        if (deflateInit2(fresh.get(), 1, Z_DEFLATED, -kWindowBits, 8, Z_DEFAULT_STRATEGY) != Z_OK) {
            throw std::bad_alloc();
        }
        stream_.reset(fresh.release());
    } else {
        deflateReset(stream_.get());
    }
    out_.resize(deflateBound(stream_.get(), static_cast<uLong>(payload.size())) + 16);
    set_input(*stream_, payload);
    set_output(*stream_, out_, 0);
    [[maybe_unused]] const int answer = ::deflate(stream_.get(), Z_SYNC_FLUSH);
    assert(answer == Z_OK);
    assert(stream_->avail_in == 0);
    const std::string_view all(out_.data(), out_.size() - stream_->avail_out);
    assert(all.ends_with(kTail));
    return all.substr(0, all.size() - kTail.size());
}

Inflater::Inflater() = default;
Inflater::~Inflater() = default;

void Inflater::End::operator()(z_stream_s* stream) const {
    inflateEnd(stream);
    delete stream;
}

std::expected<std::string_view, std::uint16_t> Inflater::inflate(std::string_view payload, std::size_t bytes_max) {
    if (!stream_) {
        auto fresh = std::make_unique<z_stream>();
        if (inflateInit2(fresh.get(), -kWindowBits) != Z_OK) {
            throw std::bad_alloc();
        }
        stream_.reset(fresh.release());
    } else {
        inflateReset(stream_.get());
    }
    out_.resize(std::max(out_.capacity(), kFirstOutBytes));
    auto& stream = *stream_;
    set_output(stream, out_, 0);
    set_input(stream, payload);
    bool tail_given = false;
    for (;;) {
        const int answer = ::inflate(&stream, Z_SYNC_FLUSH);
        const std::size_t used = out_.size() - stream.avail_out;
        if (used > bytes_max) {
            return std::unexpected(close_code::kTooBig);
        }
        if (answer == Z_STREAM_END) {
            // A block marked as the last one: what follows begins afresh. Spec: RFC 7692 §7.2.3.4.
            if (stream.avail_in == 0) {
                return std::string_view(out_.data(), used);
            }
            inflateReset(&stream);
        } else if (answer != Z_OK && answer != Z_BUF_ERROR) {
            return std::unexpected(close_code::kBadText);
        } else if (stream.avail_out == 0) {
            out_.resize(std::min(out_.size() * 2, bytes_max + 1));
            set_output(stream, out_, used);
        } else if (!tail_given) {
            set_input(stream, kTail);
            tail_given = true;
        } else {
            break;
        }
    }
    // Bit 7 of data_type: it stands behind a whole block; otherwise the tail became part of a truncated one.
    if ((stream.data_type & 128) == 0) {
        return std::unexpected(close_code::kBadText);
    }
    return std::string_view(out_.data(), out_.size() - stream.avail_out);
}

}  // namespace boardbus::web
