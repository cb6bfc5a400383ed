#!/usr/bin/env python3
"""Guards the speed of the hot steps without a clock: counts instructions and compares them with the recorded figures.

  check_instructions.py PROGRAM RECORDED [--record]

PROGRAM (tests/instructions) does each step N and 2 N times under callgrind; the difference, per step, has no start-up in it. More
than 5 % above the figure in RECORDED is a failure. --record writes the figures of now instead.

A count depends on the compiler, on the C library and on the processor, because the C library chooses its string functions by what
the processor can do; the last is switched off here. Figures of another compiler, C library or architecture are not compared: SKIPPED.
SPDX-License-Identifier: Apache-2.0
"""
import argparse
import pathlib
import platform
import re
import subprocess
import sys

ALLOWED = 1.05

# The string functions of the oldest x86-64 and thresholds of no particular cache, on every machine. Unknown names are ignored.
FEATURES = ("AVX AVX2 AVX512BW AVX512F AVX512VL AVX_Fast_Unaligned_Load BMI1 BMI2 ERMS FSRM Fast_Unaligned_Copy LZCNT MOVBE POPCNT RTM "
            "SSE4_1 SSE4_2 SSSE3 XSAVE XSAVEC").split()
ENVIRONMENT = {
    "PATH": "/usr/bin:/bin",
    "LC_ALL": "C",
    "GLIBC_TUNABLES": ":".join(["glibc.cpu.hwcaps=" + ",".join("-" + one for one in FEATURES), "glibc.cpu.x86_data_cache_size=32768",
                                "glibc.cpu.x86_shared_cache_size=1048576", "glibc.cpu.x86_non_temporal_threshold=786432",
                                "glibc.cpu.x86_rep_movsb_threshold=1048576", "glibc.cpu.x86_rep_stosb_threshold=1048576",
                                "glibc.malloc.arena_max=1"]),
}


def say(program, *arguments):
    return subprocess.run([program, *arguments], env=ENVIRONMENT, text=True, capture_output=True, check=True).stdout


def about(program):
    lines = say(program, "--about").splitlines() + [f"machine {platform.machine()}"]
    return dict(line.split(" ", 1) for line in lines)


def count(program, name, rounds):
    command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", program, name, str(rounds)]
    done = subprocess.run(command, env=ENVIRONMENT, text=True, capture_output=True)
    collected = re.search(r"Collected : (\d+)", done.stderr)
    if done.returncode != 0 or not collected:
        sys.exit(f"{' '.join(map(str, command))}: exit code {done.returncode}\n{done.stderr}")
    return int(collected[1])


def measure(program):
    figures = {}
    for line in say(program, "--list").splitlines():
        name, units, rounds = line.split()
        rounds = int(rounds)
        more = count(program, name, 2 * rounds) - count(program, name, rounds)
        figures[name] = more / (rounds * int(units))
    return figures


def read(file):
    """The recording: what it is about, and the figures."""
    facts, figures = {}, {}
    for line in file.read_text().splitlines():
        if line and not line.startswith("#"):
            key, value = line.split(" ", 1)
            (figures if re.fullmatch(r"[\d.]+", value) else facts)[key] = value
    return facts, {name: float(value) for name, value in figures.items()}


def write(file, facts, figures):
    lines = ["# Instructions for one unit of each step (tests/instructions), in the environment of tools/check_instructions.py.",
             "# Written by `./dev instructions --record`. A commit that changes a figure says why.",
             *(f"{key} {value}" for key, value in facts.items()), *(f"{name} {value:.1f}" for name, value in figures.items())]
    file.write_text("\n".join(lines) + "\n")


def compare(figures, recorded):
    """Prints the table; the names of those that grew too much."""
    grown = []
    print(f"{'instructions for one':28} {'recorded':>10} {'now':>10} {'change':>8}")
    for name, now in figures.items():
        before = recorded.get(name)
        change = f"{100 * (now / before - 1):+.1f} %" if before else "new"
        bad = before is None or now > before * ALLOWED
        grown += [name] if bad else []
        print(f"{name:28} {before or 0:10.1f} {now:10.1f} {change:>8}{'  TOO MANY' if before and bad else ''}")
    return grown + [f"{name} (gone)" for name in recorded if name not in figures]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", type=pathlib.Path)
    parser.add_argument("recorded", type=pathlib.Path)
    parser.add_argument("--record", action="store_true")
    options = parser.parse_args()
    program = options.program.resolve()
    facts = about(program)
    if options.record:
        figures = measure(program)
        write(options.recorded, facts, figures)
        print(options.recorded.read_text(), end="")
        return 0
    recorded_facts, recorded = read(options.recorded)
    for key, value in facts.items():
        if recorded_facts.get(key) != value:
            print(f"instructions: SKIPPED, {key} is {value}, the figures were recorded with {recorded_facts.get(key)}; "
                  "to record anew: ./dev instructions --record")
            return 0
    grown = compare(measure(program), recorded)
    if grown:
        print(f"instructions: {', '.join(grown)}: more than {100 * (ALLOWED - 1):.0f} % above {options.recorded}, or not in it. "
              "If that is meant: ./dev instructions --record, and say why in the commit.")
        return 1
    print("instructions: within 5 % of the recorded figures")
    return 0


sys.exit(main())
