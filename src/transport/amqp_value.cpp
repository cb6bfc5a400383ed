// SPDX-License-Identifier: Apache-2.0
#include "transport/amqp_value.h"

#include <array>
#include <bit>
#include <limits>
#include <type_traits>

namespace boardbus::transport::amqp {
namespace {

// Tables within tables: RabbitMQ itself nests x-death two deep; 32 leaves room for anybody and little for an attack on the stack.
// What stands deeper is not refused, only not read: a message that a queue holds would come back for ever.
constexpr int kDepthMax = 32;

template <typename T>
constexpr char kKind = 0;
template <>
constexpr char kKind<std::monostate> = 'V';
template <>
constexpr char kKind<bool> = 't';
template <>
constexpr char kKind<std::int8_t> = 'b';
template <>
constexpr char kKind<std::uint8_t> = 'B';
template <>
constexpr char kKind<std::int16_t> = 's';
template <>
constexpr char kKind<std::uint16_t> = 'u';
template <>
constexpr char kKind<std::int32_t> = 'I';
template <>
constexpr char kKind<std::uint32_t> = 'i';
template <>
constexpr char kKind<std::int64_t> = 'l';
template <>
constexpr char kKind<std::uint64_t> = 'L';
template <>
constexpr char kKind<float> = 'f';
template <>
constexpr char kKind<double> = 'd';
template <>
constexpr char kKind<Decimal> = 'D';
template <>
constexpr char kKind<std::string> = 'S';
template <>
constexpr char kKind<Bytes> = 'x';
template <>
constexpr char kKind<Timestamp> = 'T';
template <>
constexpr char kKind<Array> = 'A';
template <>
constexpr char kKind<Table> = 'F';

}  // namespace

std::optional<std::int64_t> Value::as_integer() const {
    return std::visit(
        [](const auto& value) -> std::optional<std::int64_t> {
            using T = std::remove_cvref_t<decltype(value)>;
            if constexpr (std::is_same_v<T, std::uint64_t>) {
                constexpr auto kMost = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
                return static_cast<std::int64_t>(value > kMost ? kMost : value);
            } else if constexpr (std::is_integral_v<T> && !std::is_same_v<T, bool>) {
                return value;
            } else {
                return std::nullopt;
            }
        },
        of);
}

std::string_view Value::as_text() const {
    const auto* text = std::get_if<std::string>(&of);
    return text == nullptr ? std::string_view() : std::string_view(*text);
}

const Value* find_field(const Table& table, std::string_view name) {
    for (const auto& [key, value] : table) {
        if (key == name) {
            return &value;
        }
    }
    return nullptr;
}

Writer& Writer::u8(std::uint8_t value) {
    out_.push_back(static_cast<char>(value));
    return *this;
}

/// Octets in network byte order.
template <std::size_t Octets>
Writer& Writer::number(std::uint64_t value) {
    std::array<char, Octets> octets{};
    for (std::size_t i = Octets; i > 0; --i, value >>= 8U) {
        octets[i - 1] = static_cast<char>(value & 0xFFU);
    }
    out_.append(octets.data(), Octets);
    return *this;
}

Writer& Writer::u16(std::uint16_t value) {
    return number<2>(value);
}

Writer& Writer::u32(std::uint32_t value) {
    return number<4>(value);
}

Writer& Writer::u64(std::uint64_t value) {
    return number<8>(value);
}

Writer& Writer::short_string(std::string_view text) {
    text = text.substr(0, 255);
    u8(static_cast<std::uint8_t>(text.size()));
    out_.append(text);
    return *this;
}

Writer& Writer::long_string(std::string_view bytes) {
    u32(static_cast<std::uint32_t>(bytes.size()));
    out_.append(bytes);
    return *this;
}

Writer& Writer::table(const Table& table) {
    const std::size_t length_at = out_.size();
    u32(0);
    for (const auto& [name, field] : table) {
        short_string(name);
        value(field);
    }
    return sized(length_at);
}

/// Fills in the length of what has been written since the four octets at `length_at`.
Writer& Writer::sized(std::size_t length_at) {
    const auto length = static_cast<std::uint32_t>(out_.size() - length_at - 4);
    for (std::size_t i = 0; i < 4; ++i) {
        out_[length_at + i] = static_cast<char>(length >> (24 - 8 * i));
    }
    return *this;
}

void Writer::value(const Value& any) {
    std::visit(
        [this](const auto& value) {
            using T = std::remove_cvref_t<decltype(value)>;
            if constexpr (std::is_same_v<T, Unread>) {
                out_.append(value.wire);
                return;
            } else {
                static_assert(kKind<T> != 0);
                out_.push_back(kKind<T>);
            }
            if constexpr (std::is_same_v<T, float>) {
                u32(std::bit_cast<std::uint32_t>(value));
            } else if constexpr (std::is_same_v<T, double>) {
                u64(std::bit_cast<std::uint64_t>(value));
            } else if constexpr (std::is_same_v<T, Decimal>) {
                u8(value.scale).u32(value.digits);
            } else if constexpr (std::is_same_v<T, std::string>) {
                long_string(value);
            } else if constexpr (std::is_same_v<T, Bytes>) {
                long_string(value.bytes);
            } else if constexpr (std::is_same_v<T, Timestamp>) {
                u64(value.seconds);
            } else if constexpr (std::is_same_v<T, Table>) {
                table(value);
            } else if constexpr (std::is_same_v<T, Array>) {
                const std::size_t length_at = out_.size();
                u32(0);
                for (const Value& item : value) {
                    this->value(item);
                }
                sized(length_at);
            } else if constexpr (sizeof(T) == 1 && !std::is_same_v<T, std::monostate>) {
                u8(static_cast<std::uint8_t>(value));
            } else if constexpr (sizeof(T) == 2) {
                u16(static_cast<std::uint16_t>(value));
            } else if constexpr (sizeof(T) == 4) {
                u32(static_cast<std::uint32_t>(value));
            } else if constexpr (sizeof(T) == 8) {
                u64(static_cast<std::uint64_t>(value));
            }
        },
        any.of);
}

void Reader::fail() {
    failed_ = true;
    in_ = {};
}

std::string_view Reader::take(std::size_t bytes) {
    if (bytes > in_.size()) {
        fail();
        return {};
    }
    const std::string_view taken = in_.substr(0, bytes);
    in_.remove_prefix(bytes);
    return taken;
}

std::uint64_t Reader::number(std::size_t bytes) {
    std::uint64_t value = 0;
    for (const char byte : take(bytes)) {
        value = value << 8 | static_cast<std::uint8_t>(byte);
    }
    return value;
}

std::uint8_t Reader::u8() {
    return static_cast<std::uint8_t>(number(1));
}
std::uint16_t Reader::u16() {
    return static_cast<std::uint16_t>(number(2));
}
std::uint32_t Reader::u32() {
    return static_cast<std::uint32_t>(number(4));
}
std::uint64_t Reader::u64() {
    return number(8);
}
std::string Reader::short_string() {
    return std::string(take(u8()));
}
std::string_view Reader::long_string() {
    return take(u32());
}

Table Reader::table(int depth) {
    Table table;
    Reader inner(long_string());
    while (!failed_ && !inner.in_.empty()) {
        // Two statements: the order in which the arguments of a call are evaluated is not defined.
        std::string name = inner.short_string();
        table.emplace_back(std::move(name), inner.value(depth));
        failed_ = inner.failed_;
    }
    if (failed_) {
        fail();
    }
    return table;
}

Array Reader::array(int depth) {
    Array array;
    Reader inner(long_string());
    while (!failed_ && !inner.in_.empty()) {
        array.push_back(inner.value(depth));
        failed_ = inner.failed_;
    }
    if (failed_) {
        fail();
    }
    return array;
}

Value Reader::value(int depth) {
    const char kind = static_cast<char>(u8());
    if (depth == kDepthMax && (kind == 'A' || kind == 'F')) {
        Unread unread{std::string(1, kind)};
        Writer(unread.wire).long_string(long_string());
        return unread;
    }
    switch (kind) {
        case 'V':
            return {};
        case 't':
            return u8() != 0;
        case 'b':
            return static_cast<std::int8_t>(u8());
        case 'B':
            return u8();
        case 's':
            return static_cast<std::int16_t>(u16());
        case 'u':
            return u16();
        case 'I':
            return static_cast<std::int32_t>(u32());
        case 'i':
            return u32();
        case 'l':
            return static_cast<std::int64_t>(u64());
        case 'L':
            return u64();
        case 'f':
            return std::bit_cast<float>(u32());
        case 'd':
            return std::bit_cast<double>(u64());
        case 'D': {
            const std::uint8_t scale = u8();
            return Decimal{scale, u32()};
        }
        case 'S':
            return std::string(long_string());
        case 'x':
            return Bytes{std::string(long_string())};
        case 'T':
            return Timestamp{u64()};
        case 'A':
            return array(depth + 1);
        case 'F':
            return table(depth + 1);
        default:
            fail();
            return {};
    }
}

}  // namespace boardbus::transport::amqp
