// Identifiers and dice.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

namespace boardbus {

/// 64 random bits from the kernel's generator, buffered per thread. Thread: any.
std::uint64_t random_u64();

/// A random number in [0, 1). Thread: any.
double random_unit();

/// A random UUID, version 4, in its 36-character form. Spec: RFC 9562 §5.4. Thread: any.
std::string random_uuid();

}  // namespace boardbus
