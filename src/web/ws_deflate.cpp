// SPDX-License-Identifier: Apache-2.0
#include "web/ws_deflate.h"

#include <zlib.h>

#include <algorithm>
#include <cassert>
#include <new>
#include <utility>

#include "web/ws_codec.h"

namespace boardbus::web {

namespace {

// Every flushed block ends so; the wire leaves it out. Spec: RFC 7692 §7.2.1.
constexpr std::string_view kTail("\x00\x00\xFF\xFF", 4);

// zlib silently wrote 9 bits when asked for 8, and refuses 8 in raw streams since 1.2.9: an offer of 8 cannot be
// honoured.
constexpr int kWindowBitsMin = 9;

constexpr std::size_t kFirstOutBytes = 4096;

/// One element of Sec-WebSocket-Extensions, read from left to right. Spec: RFC 6455 §9.1.
class OfferReader {
  public:
    explicit OfferReader(std::string_view text) : rest_(text) {}

    void skip_space() { rest_.remove_prefix(std::min(rest_.find_first_not_of(" \t"), rest_.size())); }

    bool take(char wanted) {
        skip_space();
        if (rest_.empty() || rest_.front() != wanted) {
            return false;
        }
        rest_.remove_prefix(1);
        return true;
    }

    /// Empty when there is none.
    std::string_view token() {
        skip_space();
        const auto size = std::min(rest_.find_first_of(" \t,;=\""), rest_.size());
        const auto found = rest_.substr(0, size);
        rest_.remove_prefix(size);
        return found;
    }

    /// A token or a quoted string; what is quoted must itself be a token. Empty when there is none.
    std::string_view value() {
        if (!take('"')) {
            return token();
        }
        const auto size = rest_.find('"');
        if (size == std::string_view::npos) {
            return {};
        }
        const auto found = rest_.substr(0, size);
        rest_.remove_prefix(size + 1);
        return found.find_first_of(" \t,;=\\") == std::string_view::npos ? found : std::string_view();
    }

    bool at_end() {
        skip_space();
        return rest_.empty();
    }

  private:
    std::string_view rest_;
};

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

struct Parameter {
    std::string_view name;
    bool has_value = false;
    std::string_view value;
};

/// The parameters of one permessage-deflate offer; `valid` is false once one of them is unknown, repeated or bad.
struct Offer {
    bool valid = true;
    bool server_no_context_takeover = false;
    bool client_no_context_takeover = false;
    bool client_max_window_bits = false;
    std::optional<int> server_max_window_bits;

    void add(const Parameter& parameter) {
        const auto once = [&parameter](bool& seen) { return !parameter.has_value && !std::exchange(seen, true); };
        if (parameter.name == "server_no_context_takeover") {
            valid = valid && once(server_no_context_takeover);
        } else if (parameter.name == "client_no_context_takeover") {
            valid = valid && once(client_no_context_takeover);
        } else if (parameter.name == "client_max_window_bits") {
            // Our inflater reads every window, so a value is checked and not answered.
            valid = valid && !std::exchange(client_max_window_bits, true) &&
                    (!parameter.has_value || window_bits(parameter.value));
        } else if (parameter.name == "server_max_window_bits") {
            valid = valid && !server_max_window_bits;
            server_max_window_bits = window_bits(parameter.value);
            valid = valid && server_max_window_bits;
        } else {
            valid = false;
        }
    }

    bool acceptable() const { return valid && server_max_window_bits.value_or(15) >= kWindowBitsMin; }
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
    OfferReader reader(offers);
    while (!reader.at_end()) {
        if (reader.take(',')) {
            continue;
        }
        Offer offer;
        offer.valid = reader.token() == "permessage-deflate";
        while (reader.take(';')) {
            Parameter parameter;
            parameter.name = reader.token();
            parameter.has_value = reader.take('=');
            parameter.value = parameter.has_value ? reader.value() : std::string_view();
            offer.add(parameter);
        }
        if (!reader.at_end() && !reader.take(',')) {
            return std::nullopt;  // The header breaks its grammar: no guessing where the next offer begins.
        }
        if (offer.acceptable()) {
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

std::string_view Deflater::deflate(std::string_view payload, int window_bits) {
    assert(window_bits >= kWindowBitsMin);
    assert(window_bits <= 15);
    auto& stream = streams_[static_cast<std::size_t>(window_bits - kWindowBitsMin)];
    if (!stream) {
        auto fresh = std::make_unique<z_stream>();
        // Level 1: events are small and the loop is shared; higher levels cost several times more for a few percent.
        // Memory level 8: (1 << 17) for the window + (1 << 17) for hash and output = 256 KB.
        if (deflateInit2(fresh.get(), 1, Z_DEFLATED, -window_bits, 8, Z_DEFAULT_STRATEGY) != Z_OK) {
            throw std::bad_alloc();
        }
        stream.reset(fresh.release());
    } else {
        deflateReset(stream.get());
    }
    out_.resize(deflateBound(stream.get(), static_cast<uLong>(payload.size())) + 16);
    set_input(*stream, payload);
    set_output(*stream, out_, 0);
    [[maybe_unused]] const int answer = ::deflate(stream.get(), Z_SYNC_FLUSH);
    assert(answer == Z_OK);
    assert(stream->avail_in == 0);
    const std::string_view all(out_.data(), out_.size() - stream->avail_out);
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
        if (inflateInit2(fresh.get(), -15) != Z_OK) {
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
