// Named places where a test may kill or fail this process.
//
// BOARDBUS_FAULT_AT=worker.after_commit:7 kills the process with SIGKILL when it passes that point for the seventh time, so that a
// crash test is exact instead of lucky. The program that ships is linked with an empty version of these functions.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

namespace boardbus::fault {

/// Dies here (SIGKILL) when BOARDBUS_FAULT_AT names this point, as `name:n` or `name=subject:n`, and this is the nth such pass
/// (no number: the first). Thread: any.
void point(std::string_view name, std::string_view subject = {});

/// True while the fault `name` is to be injected: BOARDBUS_FAULT_FAIL=name:n makes the first n calls true, a bare name all of them.
/// `subject` narrows it: BOARDBUS_FAULT_FAIL=name=subject:n counts only calls with that subject. Several, comma-separated.
/// Thread: any.
bool fails(std::string_view name, std::string_view subject = {});

}  // namespace boardbus::fault
