// The trace that a message belongs to, as it is handed from program to program. Spec: W3C Trace Context, §3.2.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

namespace boardbus {

/// A new trace with a first span, not sampled: nobody here records it. Thread: any.
std::string new_traceparent();

/// Whether `text` is a traceparent of version 00.
bool is_traceparent(std::string_view text);

}  // namespace boardbus
