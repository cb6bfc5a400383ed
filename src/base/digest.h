// Fingerprints of texts.
//
// OpenSSL looks an algorithm up by name for each digest, which takes longer than to hash what we hash: here that happens
// once per thread. Thread: any.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace boardbus {

/// Spec: FIPS 180-4.
std::array<std::uint8_t, 20> sha1(std::string_view text);
std::array<std::uint8_t, 32> sha256(std::string_view text);

}  // namespace boardbus
