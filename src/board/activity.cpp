// SPDX-License-Identifier: Apache-2.0
#include "board/activity.h"

#include <openssl/evp.h>

#include <array>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>

#include "board/json.h"

namespace boardbus::board {
namespace {

struct Members {
    std::optional<json::Value> id;
    std::optional<json::Value> board;
    std::optional<json::Value> action;
    std::optional<json::Value> timestamp;
    std::optional<json::Value> active_connections;

    void keep(const json::Member& member) {
        if (member.name == "id") {
            id = member.value;
        } else if (member.name == "board") {
            board = member.value;
        } else if (member.name == "action") {
            action = member.value;
        } else if (member.name == "timestamp") {
            timestamp = member.value;
        } else if (member.name == "active_connections") {
            active_connections = member.value;
        }
    }
};

bool read_text(const std::optional<json::Value>& value, std::string& text) {
    return value && value->type == json::Type::string && json::append_decoded(text, value->text);
}

Result<ActivityView> read_line(std::string line) {
    ActivityView view{.json = std::move(line), .id = {}, .board = {}, .action = {}};
    Members members;
    json::ObjectReader reader(view.json);
    while (const auto member = reader.next()) {
        members.keep(*member);
    }
    if (!reader.good()) {
        return fail(Errc::invalid, reader.problem());
    }
    if (!read_text(members.id, view.id) || !read_text(members.board, view.board) ||
        !read_text(members.action, view.action)) {
        return fail(Errc::invalid, "id, board or action is no string");
    }
    if (members.timestamp && members.timestamp->type == json::Type::string) {
        // Escapes are never needed in a time; one that has them is not measured.
        view.published_at = parse_iso_8601(members.timestamp->text.substr(1, members.timestamp->text.size() - 2));
    }
    if (members.active_connections) {
        view.count_at = static_cast<std::size_t>(members.active_connections->text.data() - view.json.data());
        view.count_length = members.active_connections->text.size();
        return view;
    }
    constexpr std::string_view kMissing = ",\"active_connections\":0";
    const std::size_t end = view.json.rfind('}');
    view.json.insert(end, kMissing);
    view.count_at = end + kMissing.size() - 1;
    view.count_length = 1;
    return view;
}

/// SHA-256 of several texts, each behind its length.
class Digest {
  public:
    Digest() : context_(EVP_MD_CTX_new()) {
        // Fetched once: looking up the algorithm costs more than hashing 200 bytes.
        static const EVP_MD* const kSha256 = EVP_MD_fetch(nullptr, "SHA256", nullptr);
        EVP_DigestInit_ex2(context_.get(), kSha256, nullptr);
    }

    void add(std::string_view text) {
        add_length(text.size());
        EVP_DigestUpdate(context_.get(), text.data(), text.size());
    }

    /// A length that no text has.
    void add_nothing() { add_length(UINT64_MAX); }

    std::array<unsigned char, EVP_MAX_MD_SIZE> finish() {
        std::array<unsigned char, EVP_MAX_MD_SIZE> bytes{};
        EVP_DigestFinal_ex(context_.get(), bytes.data(), nullptr);
        return bytes;
    }

  private:
    void add_length(std::uint64_t length) {
        std::array<unsigned char, 8> bytes{};
        for (std::size_t i = 0; i < bytes.size(); ++i) {
            bytes[i] = static_cast<unsigned char>(length >> (8 * i));
        }
        EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size());
    }

    struct Free {
        void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
    };
    std::unique_ptr<EVP_MD_CTX, Free> context_;
};

}  // namespace

std::string encode_activity(const Envelope& envelope) {
    const BoardMessage& message = envelope.message;
    std::string json;
    json.reserve(320 + envelope.board_id.size() + message.action.size() + message.user.size() + message.payload.size());
    json += "{\"id\":";
    json::append_quoted(json, envelope.event_id);
    json += ",\"board\":";
    json::append_quoted(json, envelope.board_id);
    json += ",\"action\":";
    json::append_quoted(json, message.action);
    json += ",\"user\":";
    json::append_quoted(json, message.user);
    json += ",\"payload\":";
    json += message.payload;
    json += ",\"timestamp\":";
    json::append_quoted(json, envelope.timestamp);
    json += ",\"correlation_id\":";
    json::append_quoted(json, envelope.correlation_id);
    json += ",\"kind\":\"board_event\",\"active_connections\":0}";
    return json;
}

Result<ActivityView> parse_activity(std::string_view text) {
    const bool one_line = text.find('\n') == std::string_view::npos && text.find('\r') == std::string_view::npos;
    if (one_line) {
        return read_line(std::string(text));
    }
    if (!json::is_valid(text)) {
        return fail(Errc::invalid, "not a JSON object");
    }
    std::string line;
    json::append_compact(line, {.type = json::Type::object, .spaced = true, .text = text});
    return read_line(std::move(line));
}

std::string fingerprint(const Envelope& envelope) {
    Digest digest;
    digest.add(envelope.board_id);
    digest.add(envelope.message.action);
    digest.add(envelope.message.user);
    digest.add(envelope.message.payload);
    if (envelope.message.message) {
        digest.add(*envelope.message.message);
    } else {
        digest.add_nothing();
    }
    const auto bytes = digest.finish();
    std::string hex(32, '0');
    for (std::size_t i = 0; i < hex.size() / 2; ++i) {
        hex[2 * i] = "0123456789abcdef"[bytes[i] >> 4];
        hex[2 * i + 1] = "0123456789abcdef"[bytes[i] & 0x0F];
    }
    return hex;
}

}  // namespace boardbus::board
