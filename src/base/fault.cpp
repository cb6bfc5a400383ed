// SPDX-License-Identifier: Apache-2.0
#include "base/fault.h"

#ifdef BOARDBUS_FAULTS

#include <algorithm>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <mutex>
#include <string>
#include <vector>

namespace boardbus::fault {
namespace {

/// One comma-separated entry `name[=subject][:n]` of a fault variable.
struct Plan {
    std::string name;
    std::string subject;
    std::uint64_t count;
    std::uint64_t passed = 0;

    bool matches(std::string_view point, std::string_view of) const {
        return name == point && (subject.empty() || subject == of);
    }
};

std::vector<Plan> read_plans(const char* variable, std::uint64_t default_count) {
    std::vector<Plan> plans;
    const char* text = std::getenv(variable);
    std::string_view rest = text == nullptr ? "" : text;
    while (!rest.empty()) {
        std::string_view entry = rest.substr(0, rest.find(','));
        rest.remove_prefix(std::min(rest.size(), entry.size() + 1));
        Plan plan{.name = {}, .subject = {}, .count = default_count};
        if (const auto colon = entry.rfind(':'); colon != entry.npos) {
            plan.count = std::strtoull(std::string(entry.substr(colon + 1)).c_str(), nullptr, 10);
            entry = entry.substr(0, colon);
        }
        if (const auto equals = entry.find('='); equals != entry.npos) {
            plan.subject = entry.substr(equals + 1);
            entry = entry.substr(0, equals);
        }
        plan.name = entry;
        plans.push_back(std::move(plan));
    }
    return plans;
}

std::mutex guard;

}  // namespace

void point(std::string_view name, std::string_view subject) {
    static std::vector<Plan> plans = read_plans("BOARDBUS_FAULT_AT", 1);
    const std::scoped_lock lock(guard);
    for (Plan& plan : plans) {
        if (plan.matches(name, subject) && ++plan.passed == plan.count) {
            std::raise(SIGKILL);
        }
    }
}

bool fails(std::string_view name, std::string_view subject) {
    static std::vector<Plan> plans = read_plans("BOARDBUS_FAULT_FAIL", UINT64_MAX);
    const std::scoped_lock lock(guard);
    for (Plan& plan : plans) {
        if (plan.matches(name, subject) && plan.passed < plan.count) {
            ++plan.passed;
            return true;
        }
    }
    return false;
}

}  // namespace boardbus::fault

#else

namespace boardbus::fault {

void point(std::string_view, std::string_view) {}

bool fails(std::string_view, std::string_view) {
    return false;
}

}  // namespace boardbus::fault

#endif
