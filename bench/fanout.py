#!/usr/bin/env python3
"""Measures fan-out beside its floor, on this machine alone: pairs of runs, row by row.

Each row's result goes to build/fanout/ROW.json as soon as the row is done; --report makes bench/results/fanout.md, fanout.svg and the tables
in the documents from what is there. bench/README.md says how to read the result.
SPDX-License-Identifier: Apache-2.0
"""
import argparse
import datetime
import json
import os
import pathlib
import platform
import resource
import shlex
import signal
import subprocess
import sys
import time
from dataclasses import dataclass

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "bench"), str(ROOT / "tests/system")]
sys.dont_write_bytecode = True

from fanout_numbers import outcome  # noqa: E402
from fanout_report import write_report  # noqa: E402
from fanout_rows import ROWS  # noqa: E402
from fanout_servers import NotMeasured  # noqa: E402

RESULTS = ROOT / "build/fanout"
PROGRAMS = ("boardbus", "bench_fanout_load", "bench_fanout_floor")


@dataclass
class Context:
    """What every run needs to know."""
    build: pathlib.Path
    folder: pathlib.Path  # Logs of the servers.
    quick: bool
    server_core: str
    load_core: str
    files: int            # That each process may have open.

    def length(self, seconds: float) -> float:
        return 0.5 if self.quick else seconds

    def warmup(self) -> float:
        return 0.2 if self.quick else 1.0


def parse_arguments():
    names = [row.name for row in ROWS]
    parser = argparse.ArgumentParser(prog="./dev bench fanout", description=__doc__.splitlines()[0], epilog="rows: " + ", ".join(names))
    parser.add_argument("--row", action="append", choices=names, metavar="NAME", help="only this row; may be repeated")
    parser.add_argument("--pairs", type=int, help="pairs of runs for each row (default: 11 for quotients, 3 to 5 for what hardly varies)")
    parser.add_argument("--quick", action="store_true", help="one pair of short, small runs for each row, to see that it works; saves nothing")
    parser.add_argument("--report", action="store_true", help="write the report, of all rows; measures only with --row")
    parser.add_argument("--server-core", default="0", help="core of the server (default 0)")
    parser.add_argument("--load-core", default="1", help="core of the load generator (default 1)")
    parser.add_argument("--build", type=pathlib.Path, help="where the programs are (default: build them in build/release)")
    options = parser.parse_args()
    if options.pairs is not None and options.pairs < 1:
        parser.error("--pairs must be at least 1")
    if options.quick and options.report:
        parser.error("a quick run has nothing to report")
    return options


def said(*command) -> str:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    return done.stdout.strip() if done.returncode == 0 else "unknown"


def facts(context) -> dict:
    """What a number means nothing without."""
    models = [line.partition(":")[2].strip() for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines()
              if line.startswith("model name")]
    changed = " with uncommitted changes" if said("git", "status", "--porcelain", "--untracked-files=no") else ""
    return {"machine": f"{os.cpu_count()} cores, {models[0] if models else platform.machine()}; {platform.system()} {platform.release()}; "
                       f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
            "tcp": "congestion control " + pathlib.Path("/proc/sys/net/ipv4/tcp_congestion_control").read_text().strip(),
            "files": f"{context.files:,} open files a process",
            "boardbus": f"{said(str(context.build / 'boardbus'), 'version').removeprefix('boardbus ')}, "
                        f"{said('git', 'rev-parse', '--short', 'HEAD')}{changed}",
            "date": datetime.date.today().isoformat()}


def brief(row, pairs) -> str:
    texts = []
    for measure in row.measures:
        found = outcome(measure, pairs)
        if found:
            ours, other = found.ours[-1], found.other[-1:] or [None]
            text = f"{measure.label} {ours:{measure.form}}"
            text += f" | {other[0]:{measure.form}}" if other[0] is not None else ""
            text += f" = {found.judged[-1]:.3f}" if measure.is_ratio else ""
            texts.append(text)
    return "; ".join(texts)


def measure_row(context, row, count: int) -> list:
    pairs = []
    for number in range(count):
        pairs.append(row.pair(context))
        print(f"  {row.name} {number + 1}/{count}: {brief(row, pairs)}", flush=True)
    return pairs


def measure(context, options) -> None:
    rows = [row for row in ROWS if not options.row or row.name in options.row]
    counts = {row.name: 1 if options.quick else options.pairs or row.pairs for row in rows}
    left = sum(4 if options.quick else row.pair_seconds * counts[row.name] for row in rows)
    for row in rows:
        print(f"{row.title} (boardbus | {row.other} = quotient); about {left / 60:.0f} min left", flush=True)
        load = os.getloadavg()[0]
        begin = time.monotonic()
        pairs = measure_row(context, row, counts[row.name])
        left -= 4 if options.quick else row.pair_seconds * counts[row.name]
        if not options.quick:
            (RESULTS / f"{row.name}.json").write_text(json.dumps({
                "row": row.name, "pairs": pairs, "load_before": load, "took_s": round(time.monotonic() - begin),
                "command": shlex.join(["./dev", "bench", "fanout", *sys.argv[1:]]), **facts(context)}, indent=1))


def raise_file_limit() -> int:
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return most


def build(options) -> bool:
    """Makes sure that the programs are there: builds them, unless the caller says where they are."""
    if options.build is None:
        options.build = ROOT / "build/release"
        return subprocess.run([ROOT / "dev", "build", *PROGRAMS]).returncode == 0
    options.build = options.build.resolve()
    missing = [name for name in PROGRAMS if not (options.build / name).exists()]
    if missing:
        print(f"not built in {options.build}: {', '.join(missing)}", file=sys.stderr)
    return not missing


def interrupted(number, _):
    raise NotMeasured(f"stopped by {signal.Signals(number).name}")


def main() -> int:
    options = parse_arguments()
    RESULTS.mkdir(parents=True, exist_ok=True)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupted)
    try:
        if not options.report or options.row:
            if not build(options):
                return 1
            measure(Context(options.build, RESULTS, options.quick, options.server_core, options.load_core, raise_file_limit()), options)
        if options.report:
            write_report(ROOT, RESULTS)
        return 0
    except NotMeasured as reason:
        print(f"not measured: {reason}; logs are in {RESULTS.relative_to(ROOT)}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
