// What the kernel knows about this process, under the names that every Prometheus client uses (process_*).
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <prometheus/metric_family.h>

#include <vector>

namespace boardbus::telemetry {

/// Reads /proc/self and getrusage; what cannot be read is left out. Cost: about 50 µs with 1,000 descriptors. Thread: any.
std::vector<prometheus::MetricFamily> process_families();

}  // namespace boardbus::telemetry
