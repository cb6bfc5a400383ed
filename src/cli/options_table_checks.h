// Rules that belong to one option or few: URLs, origins, rates, proxies, paths and files.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cli/options_table_rules.h"
#include "web/client_address.h"

namespace boardbus::cli {

/// Null when `item` is good and was appended to `field`.
Complaint add_amqp_url(const std::string& item, std::vector<transport::AmqpUrl>& field);
Complaint add_origin(const std::string& item, std::vector<std::string>& field);
Complaint add_header_name(const std::string& item, std::vector<std::string>& field);
Complaint add_proxy(const std::string& item, std::vector<web::Cidr>& field);

Rule redis_url();
Rule rate_limit_storage();
Rule metrics_path();
Rule otlp_endpoint();
/// Values are percent-decoded. Spec: OpenTelemetry Protocol Exporter, "Specifying headers via environment variables".
Rule otlp_headers();

/// For what is not built yet: only `value` is accepted, and what else is documented is told to be not supported yet.
Rule only(std::string_view value);

/// A limit as `120/minute`; blank: off.
Rule rate(std::function<std::optional<web::RateLimit>&(Config&)> place);

bool is_amqp_name(std::string_view text);
bool is_redis_name(std::string_view text);
bool is_token(std::string_view text);
bool is_readable_file(std::string_view path);

}  // namespace boardbus::cli
