// SPDX-License-Identifier: Apache-2.0
#include "board/cursor.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <string>

namespace boardbus::board {
namespace {

TEST(Cursor, IsReadAsItWasWritten) {
    const Cursor cursor{.position = {.epoch = "0123456789abcdef", .pos = UINT64_MAX, .seq = 7},
                        .event_hash = 0x00C0FFEE};

    EXPECT_EQ(encode_cursor(cursor), "0123456789abcdef.18446744073709551615.7.00c0ffee");
    EXPECT_EQ(parse_cursor(encode_cursor(cursor)), cursor);
}

TEST(Cursor, IsNothingElse) {
    for (const char* text :
         {"", ".", "e.1.1", "e.1.1.0", "e.1.1.0000000g", "e.1.1.00000000.", "e.-1.1.00000000", "e.1..00000000",
          "e. 1.1.00000000", "é.1.1.00000000", ".1.1.00000000", "e.18446744073709551616.1.00000000", "e.1.1.0x000000",
          "123456789012345678901234567890123.1.1.00000000"}) {
        EXPECT_FALSE(parse_cursor(text)) << text;
    }
    EXPECT_FALSE(parse_cursor(std::string(100'000, '.')));
}

TEST(Cursor, HashAndEpochAreFixedForms) {
    EXPECT_EQ(event_hash_text(""), "811c9dc5");  // FNV-1a's offset basis, and its published value for "a".
    EXPECT_EQ(event_hash_text("a"), "e40c292c");
    EXPECT_EQ(epoch_text(0xABC), "0000000000000abc");
}

}  // namespace
}  // namespace boardbus::board
