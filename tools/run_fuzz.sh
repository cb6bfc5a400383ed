#!/usr/bin/env bash
# Runs every fuzz target of a build, one after the other: run_fuzz.sh DIR [--seconds N | --merge]  (N for each, default 60)
#
# A target NAME_fuzz begins with the inputs in tests/fuzz/corpus/NAME. What a run finds new is kept in DIR/corpus/NAME for the next one.
# A crash ends with exit code 1; the input that causes it is left in DIR as NAME-crash-...
#
# --merge does not fuzz: of the small inputs in tests/fuzz/corpus and DIR/corpus it keeps, in tests/fuzz/corpus, the fewest that reach
# all the code that they reach together. Every test run meets them again (tests/fuzz/corpus_test.cpp).
# SPDX-License-Identifier: Apache-2.0
set -euo pipefail
usage() {
    echo "usage: $0 DIR [--seconds N | --merge]" >&2
    exit 2
}
build=${1:-}
seconds=60
[ -d "$build" ] || usage
merge=no
if [ "${2:-}" = --merge ] && [ $# = 2 ]; then
    merge=yes
elif [ $# -gt 1 ]; then
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
    name=$(basename "$target" _fuzz)
    found=$build/corpus/$name
    mkdir -p "$found"
    corpora=("$found")
    [ -d "$seeds/$name" ] && corpora+=("$seeds/$name")
    log=$build/$name.log
    if [ $merge = yes ]; then
        # Inputs of more than 1 KB would soon outweigh the sources.
        small=$(mktemp -d)
        for folder in "${corpora[@]}"; do
            find "$folder" -type f -size -1025c -exec cp -t "$small" {} +
        done
        merged=$(mktemp -d)
        "$target" -set_cover_merge=1 -use_counters=0 "$merged" "$small" >"$log" 2>&1
        find "$seeds/$name" -type f -delete
        find "$merged" -type f -exec mv -t "$seeds/$name" {} +
        rm -r "$small" "$merged"
        echo "$name: $(find "$seeds/$name" -type f | wc -l) inputs, $(cat "$seeds/$name"/* | wc -c) bytes"
        continue
    fi
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
