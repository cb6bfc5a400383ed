#!/usr/bin/env bash
# Runs every fuzz target of a build, one after the other: run_fuzz.sh DIR [--seconds N]  (N for each, default 60)
#
# What a run finds new is kept in DIR/corpus/NAME for the next one; tests/fuzz/corpus/NAME, when there is one, is read only. A crash
# ends with exit code 1; the input that causes it is left in DIR as NAME-crash-...
# SPDX-License-Identifier: Apache-2.0
set -euo pipefail
usage() {
    echo "usage: $0 DIR [--seconds N]" >&2
    exit 2
}
build=${1:-}
seconds=60
[ -d "$build" ] || usage
if [ $# -gt 1 ]; then
    seconds=${3:-}
    [[ $# = 3 && $2 = --seconds && $seconds =~ ^[1-9][0-9]*$ ]] || usage
fi
seeds=$(cd "$(dirname "$0")/.." && pwd)/tests/fuzz/corpus

shopt -s nullglob
targets=("$build"/*_fuzz)
if [ ${#targets[@]} = 0 ]; then
    echo "$build: no *_fuzz here" >&2
    exit 1
fi
crashed=()
for target in "${targets[@]}"; do
    name=$(basename "$target")
    found=$build/corpus/$name
    mkdir -p "$found"
    corpora=("$found")
    [ -d "$seeds/$name" ] && corpora+=("$seeds/$name")
    log=$build/$name.log
    if "$target" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
        -artifact_prefix="$build/$name-" "${corpora[@]}" >"$log" 2>&1; then
        echo "$name: clean, $(sed -n 's/^stat::number_of_executed_units: *//p' "$log") inputs in $seconds s"
    else
        echo "$name: CRASHED, see $log"
        tail -n 40 "$log"
        crashed+=("$name")
    fi
done
[ ${#crashed[@]} = 0 ]
