#!/usr/bin/env python3
"""Runs every test of a build and closes with one line that counts them all.

  run_tests.py --build DIR [--no-brokers] [--system-only] [-k WORDS]

Unit tests are the programs DIR/*_test (GoogleTest). Of their suites, Timed* wait for real seconds and run after the others; Live*
need a broker and run with the system tests. Whole-process tests are tests/system (pytest), against DIR/boardbus-faults. The tests of the chaos
programs (tests/chaos, without brokers) run with the unit tests. --no-brokers leaves out what needs RabbitMQ or Redis, counts it as
skipped, and runs two system tests at a time: they mostly wait. -k chooses system tests by name and leaves the unit tests out.
SPDX-License-Identifier: Apache-2.0
"""
import argparse
import collections
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as xml

ROOT = pathlib.Path(__file__).resolve().parent.parent


def count(report, totals):
    """Adds a JUnit report's tests; a report that is missing counts as one failure (its program died)."""
    if not report.exists():
        totals["failed"] += 1
        return
    for case in xml.parse(report).getroot().iter("testcase"):
        kinds = {child.tag for child in case}
        if kinds & {"failure", "error"}:
            totals["failed"] += 1
        elif "skipped" in kinds or case.get("status") == "notrun" or case.get("result") in ("skipped", "suppressed"):
            totals["skipped"] += 1
        else:
            totals["passed"] += 1


def run_units(build, reports, totals, suites):
    begin = time.monotonic()
    for program in sorted(build.glob("*_test")):
        report = reports / f"{program.name}.xml"
        report.unlink(missing_ok=True)
        done = subprocess.run([program, f"--gtest_filter={suites}", "--gtest_brief=1", f"--gtest_output=xml:{report}"],
                              cwd=ROOT)
        count(report, totals)
        if done.returncode != 0:
            print(f"{program.name}: exit code {done.returncode}", flush=True)
            if done.returncode < 0:
                totals["failed"] += 1
    print(f"unit tests {suites}: {time.monotonic() - begin:.1f} s", flush=True)


def run_chaos_units(reports, totals):
    report = reports / "chaos.xml"
    code = subprocess.run([sys.executable, "-m", "pytest", "-q", f"--junitxml={report}", "tests/chaos"], cwd=ROOT).returncode
    before = totals["failed"]
    count(report, totals)
    if code != 0 and totals["failed"] == before:
        totals["failed"] += 1


def run_system(build, reports, totals, options):
    report = reports / "system.xml"
    command = [sys.executable, "-m", "pytest", "-q", "--durations=5", f"--junitxml={report}", "tests/system"]
    if options.no_brokers:
        command += ["-m", "not brokers", "-n", "2"]
    if options.k:
        command += ["-k", options.k]
    environment = {**os.environ, "BOARDBUS_BIN": str(build / "boardbus-faults"), "BOARDBUS_UNIT_TESTS": str(build)}
    code = subprocess.run(command, cwd=ROOT, env=environment).returncode
    before = totals["failed"]
    count(report, totals)
    # 5: nothing was chosen. Any other code without a counted failure means that pytest itself broke.
    if code not in (0, 5) and totals["failed"] == before:
        totals["failed"] += 1
    if options.no_brokers:
        listed = subprocess.run([*command[:3], "-q", "--collect-only", "tests/system", "-m", "brokers"], cwd=ROOT,
                                env=environment, text=True, capture_output=True).stdout
        left_out = sum(1 for line in listed.splitlines() if "::" in line)
        print(f"SKIPPED {left_out} tests that need brokers (--no-brokers)")
        totals["skipped"] += left_out


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", required=True, type=pathlib.Path)
    parser.add_argument("--no-brokers", action="store_true")
    parser.add_argument("--system-only", action="store_true")
    parser.add_argument("-k", metavar="WORDS")
    options = parser.parse_args()
    build = options.build.resolve()
    totals = collections.Counter(passed=0, failed=0, skipped=0)
    with tempfile.TemporaryDirectory() as folder:
        reports = pathlib.Path(folder)
        if not options.system_only and not options.k:
            run_units(build, reports, totals, "-Live*:Timed*")
            run_units(build, reports, totals, "Timed*")
            run_chaos_units(reports, totals)
        run_system(build, reports, totals, options)
    print(f"\n{totals['passed']} passed, {totals['failed']} failed, {totals['skipped']} skipped", flush=True)
    return 1 if totals["failed"] or not totals["passed"] else 0


sys.exit(main())
