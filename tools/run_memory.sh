#!/usr/bin/env bash
# Starts boardbus with the memory transport, sends one message through it, and stays until Ctrl-C.
# SPDX-License-Identifier: Apache-2.0
set -euo pipefail
boardbus=$1
port=${ADVANCED_APP_PORT:-8004}

# In a session of its own: Ctrl-C goes to all programs of the terminal, and a second signal ends boardbus at once.
ADVANCED_EVENT_TRANSPORT=memory ADVANCED_APP_PORT=$port setsid "$boardbus" app &
app=$!
trap 'kill -TERM $app 2>/dev/null || true' INT TERM
"$boardbus" health --wait 15 --url "http://127.0.0.1:$port"
"$boardbus" demo --url "http://127.0.0.1:$port"
echo
echo "The board is at http://127.0.0.1:$port/ - Ctrl-C stops it."
# A signal interrupts the first wait; the second one has the program's own exit code.
wait $app || true
status=0
wait $app 2>/dev/null || status=$?
exit $status
