// AMQP 0-9-1 field values and tables, and the primitives that every frame is made of.
//
// Socket-free. A value keeps the kind it had on the wire, so that a copied message carries the headers it came with. The kinds are
// RabbitMQ's (they differ from the specification: rabbitmq.com/amqp-0-9-1-errata, section 3).
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace boardbus::transport::amqp {

struct Value;
using Array = std::vector<Value>;

/// Names and values in the order of the wire. A name that comes twice is kept twice; find_field() takes the first.
using Table = std::vector<std::pair<std::string, Value>>;

struct Decimal {
    std::uint8_t scale = 0;
    std::uint32_t digits = 0;
    bool operator==(const Decimal&) const = default;
};

struct Timestamp {
    std::uint64_t seconds = 0;  ///< Since 1970.
    bool operator==(const Timestamp&) const = default;
};

/// Kind `x`: like a long string, but never a text.
struct Bytes {
    std::string bytes;
    bool operator==(const Bytes&) const = default;
};

/// A table or array that stands too deep to be read: kept as its bytes, so that a copy passes it on as it came.
struct Unread {
    std::string wire;  ///< Kind, length, contents.
    bool operator==(const Unread&) const = default;
};

struct Value {
    std::variant<std::monostate, bool, std::int8_t, std::uint8_t, std::int16_t, std::uint16_t, std::int32_t,
                 std::uint32_t, std::int64_t, std::uint64_t, float, double, Decimal, std::string, Bytes, Timestamp,
                 Array, Table, Unread>
        of;

    Value() = default;
    template <typename T>
        requires(!std::is_same_v<std::remove_cvref_t<T>, Value>)
    Value(T&& value) : of(std::forward<T>(value)) {}
    Value(const char* text) : of(std::string(text)) {}

    bool operator==(const Value&) const = default;

    /// The number, whatever its width and sign, when it is one and fits; too large a one is the largest there is.
    std::optional<std::int64_t> as_integer() const;

    /// The text of a long string, or empty.
    std::string_view as_text() const;
};

/// The first field of that name, or nullptr.
const Value* find_field(const Table& table, std::string_view name);

/// Writes primitives to the end of a buffer that somebody else owns.
class Writer {
  public:
    explicit Writer(std::string& out) : out_(out) {}

    Writer& u8(std::uint8_t value);
    Writer& u16(std::uint16_t value);
    Writer& u32(std::uint32_t value);
    Writer& u64(std::uint64_t value);
    /// Cut at 255 bytes, which is all that the length octet can say.
    Writer& short_string(std::string_view text);
    Writer& long_string(std::string_view bytes);
    Writer& table(const Table& table);

  private:
    void value(const Value& value);
    template <std::size_t Octets>
    Writer& number(std::uint64_t value);
    Writer& sized(std::size_t length_at);

    std::string& out_;
};

/// Reads primitives; the first thing that does not fit makes it fail for good and everything after reads as zero or empty.
class Reader {
  public:
    explicit Reader(std::string_view in) : in_(in) {}

    std::uint8_t u8();
    std::uint16_t u16();
    std::uint32_t u32();
    std::uint64_t u64();
    std::string short_string();
    std::string_view long_string();
    Table table() { return table(0); }

    std::string_view rest() const { return in_; }
    bool failed() const { return failed_; }

  private:
    std::uint64_t number(std::size_t bytes);
    std::string_view take(std::size_t bytes);
    Table table(int depth);
    Array array(int depth);
    Value value(int depth);
    void fail();

    std::string_view in_;
    bool failed_ = false;
};

}  // namespace boardbus::transport::amqp
