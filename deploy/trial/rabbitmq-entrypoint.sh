#!/bin/sh
# The part of the official image's entry point that the compose file relies on: the default user from the environment.
# SPDX-License-Identifier: Apache-2.0
set -eu
printf 'default_user = %s\ndefault_pass = %s\nlisteners.tcp.default = 5672\n' \
    "${RABBITMQ_DEFAULT_USER:-guest}" "${RABBITMQ_DEFAULT_PASS:-guest}" >/etc/rabbitmq/rabbitmq.conf
exec /usr/lib/rabbitmq/bin/rabbitmq-server
