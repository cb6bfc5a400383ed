#!/usr/bin/env python3
"""Measures the whole pipeline beside its floor, on this machine alone, and writes bench/results/pipeline.md.

Private RabbitMQ and Redis, one worker, one app with one loop. For each scenario boardbus and the floor program (bench/probe_floor.cpp)
take turns, so that a change of the machine's mood meets both; all of them once for each placement on the cores. bench/README.md says
how to read the result.
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
import shutil
import signal
import socket
import statistics
import subprocess
import sys
from dataclasses import dataclass

ROOT = pathlib.Path(__file__).resolve().parent.parent
RUNS = ROOT / "build/bench-run"
RESULT = ROOT / "bench/results/pipeline.md"
PROGRAMS = ("boardbus", "bench_load", "bench_floor")

# Both move about 400 bytes through the queue: a floor message of that size, or an event whose envelope has that size.
FLOOR_BYTES = 400
PAYLOAD_BYTES = 44

# As deploy/ runs it; without rewrites of the file in the middle of a run.
REDIS_ARGUMENTS = ("--appendfsync", "everysec", "--auto-aof-rewrite-percentage", "0")


@dataclass(frozen=True)
class Scenario:
    queue: str
    rate: int  # Events per second; 0: saturation.

    def __str__(self):
        return f"{self.queue}, {f'{self.rate:,} events/s' if self.rate else 'saturation'}"


SCENARIOS = [Scenario(queue, rate) for queue in ("quorum", "classic") for rate in (0, 500, 2000)]

CORES = os.sched_getaffinity(0)


@dataclass(frozen=True)
class Placement:
    what: str
    rabbitmq_cores: set
    other_cores: set


PLACEMENTS = {"apart": Placement("RabbitMQ has a core of its own, all other processes share another one", {max(CORES)}, {min(CORES)}),
              "free": Placement("every process may run on every core, and the scheduler decides", CORES, CORES)}


class NotMeasured(Exception):
    """A run is worth nothing: why."""


def parse_arguments():
    parser = argparse.ArgumentParser(prog="./dev bench pipeline", description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=5, help="runs of boardbus and of the floors for each scenario (default 5)")
    parser.add_argument("--seconds", type=float, default=10, help="measured time of a run (default 10)")
    parser.add_argument("--warmup", type=float, default=2, help="time before it (default 2)")
    parser.add_argument("--window", type=int, default=512, help="events on their way at saturation (default 512)")
    parser.add_argument("--placement", choices=PLACEMENTS, action="append", help="only this one, and the result has no other (default: all, one after the other)")
    parser.add_argument("--quick", action="store_true", help="one pair of short runs, to see that it works; writes no result")
    parser.add_argument("--build", type=pathlib.Path, help="where the programs are (default: build them in build/release)")
    options = parser.parse_args()
    if options.pairs < 1 or options.seconds <= 0 or options.warmup < 0 or options.window < 1:
        parser.error("--pairs and --window must be at least 1, --seconds more than 0, --warmup not less than 0")
    options.placement = options.placement or list(PLACEMENTS)
    if "apart" in options.placement and len(CORES) < 2:
        parser.error("--placement apart needs two cores")
    if options.quick:
        options.pairs, options.seconds, options.warmup = 1, 1.5, 0.5
    return options


def cpu_seconds(pid: int) -> float:
    """User and system time of a process and its threads."""
    words = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def run_probe(options, program, *arguments) -> dict:
    """One run of bench_load or bench_floor: its report."""
    command = [options.build / program, "--seconds", options.seconds, "--warmup", options.warmup, *arguments]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=options.seconds + options.warmup + 60)
    if done.returncode != 0:
        raise NotMeasured(f"{program} ended with {done.returncode}: {done.stderr.strip()[-500:]}")
    report = json.loads(done.stdout)
    for trouble in ("missing", "duplicates", "refused"):
        if report[trouble]:
            raise NotMeasured(f"{program}: {report[trouble]} events {trouble}: {done.stdout.strip()}")
    return report


FORGET = """local at = '0'
repeat
  local found = redis.call('SCAN', at, 'COUNT', 1000, 'TYPE', 'string')
  at = found[1]
  if #found[2] > 0 then redis.call('UNLINK', unpack(found[2])) end
until at == '0'
return redis.status_reply('OK')"""


def forget_keys(brokers) -> None:
    """Each run begins without the idempotency keys of the ones before it, which are strings. The history stays: an app that sees it
    vanish tells its readers so."""
    words = ("EVAL", FORGET, "0")
    command = f"*{len(words)}\r\n" + "".join(f"${len(word)}\r\n{word}\r\n" for word in words)
    with socket.create_connection(("127.0.0.1", brokers.redis.port), timeout=60) as sock:
        for database in (b"", b"SELECT 2\r\n"):
            sock.sendall(database + command.encode())
            answer = b""
            while answer.count(b"\r\n") < (2 if database else 1):
                answer += sock.recv(4096)
            if b"-" in answer:
                raise NotMeasured(f"Redis did not forget its keys: {answer.decode()}")


def start_placed(brokers, placement: Placement) -> None:
    """Starts RabbitMQ on its cores; Redis, and what this process starts from now on, run on the others."""
    os.sched_setaffinity(0, placement.rabbitmq_cores)
    brokers.start()
    for thread in pathlib.Path(f"/proc/{brokers.redis.pid}/task").iterdir():
        os.sched_setaffinity(int(thread.name), placement.other_cores)
    os.sched_setaffinity(0, placement.other_cores)


class Pair:
    """One app and one worker on queues of their own."""

    def __init__(self, options, brokers, folder: pathlib.Path, queue: str):
        from harness import brokers as broker_names
        from harness.processes import Boardbus
        self._options, self._brokers = options, brokers
        settings = {"EVENT_TRANSPORT": "rabbitmq", "RABBITMQ_URL": brokers.rabbitmq.url, "REDIS_URL": brokers.redis.url, "THREADS": "1",
                    "RABBITMQ_QUEUE_TYPE": queue, **broker_names.isolated_names().environment()}
        self._processes = [Boardbus(command, folder / queue, settings) for command in ("worker", "app")]
        try:
            for process in self._processes:
                process.wait_ready()
        except BaseException:
            self.kill()
            raise

    def measure_boardbus(self, scenario: Scenario) -> dict:
        from harness.processes import TOKEN
        # A socket may have 64 messages without an answer: eight writers fill the window of 512. A writer hears its own board, too;
        # with a reader and a board for each, every event is delivered twice whatever their number.
        pairs = 1 if scenario.rate else max(1, min(8, self._options.window // 64))
        return run_probe(self._options, "bench_load", "--url", f"http://127.0.0.1:{self._processes[1].port}", "--token", TOKEN,
                         "--boards", pairs, "--writers", pairs, "--readers", pairs, "--rate", scenario.rate,
                         "--window", self._options.window, "--payload-bytes", PAYLOAD_BYTES)

    def with_cpu(self, probe, scenario: Scenario) -> dict:
        """A run with the CPU time of each process per event, in microseconds."""
        pids = {"RabbitMQ": self._brokers.rabbitmq.pid, "Redis": self._brokers.redis.pid, "worker": self._processes[0].pid,
                "app": self._processes[1].pid}
        before = {name: cpu_seconds(pid) for name, pid in pids.items()}
        load = resource.getrusage(resource.RUSAGE_CHILDREN)
        report = probe(scenario)
        used = {name: cpu_seconds(pid) - before[name] for name, pid in pids.items()}
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        used["client"] = after.ru_utime + after.ru_stime - load.ru_utime - load.ru_stime
        events = report["events_per_s"] * (self._options.seconds + self._options.warmup)
        report["cpu_us"] = {name: seconds / events * 1e6 for name, seconds in used.items()}
        return report

    def measure_board_floor(self, scenario: Scenario) -> dict:
        return self.measure_floor(scenario, message="board")

    def measure_dedupe_floor(self, scenario: Scenario) -> dict:
        return self.measure_floor(scenario, step="dedupe")

    def measure_floor(self, scenario: Scenario, message: str = "bare", step: str = "commit") -> dict:
        return run_probe(self._options, "bench_floor", "--message", message, "--step", step, "--amqp-url", self._brokers.rabbitmq.url,
                         "--redis-url", self._brokers.redis.url, "--queue", scenario.queue, "--rate", scenario.rate,
                         "--window", self._options.window, "--bytes", FLOOR_BYTES)

    def end(self) -> None:
        for process in reversed(self._processes):
            process.cleanup()

    def kill(self) -> None:
        for process in self._processes:
            process.kill()


def measure(options, brokers, folder: pathlib.Path) -> dict:
    """Scenario to ([reports of boardbus], [of the floor with the same message], [of the bare floor], [of that without history])."""
    results = {}
    for queue in dict.fromkeys(scenario.queue for scenario in SCENARIOS):
        pair = Pair(options, brokers, folder, queue)
        try:
            for scenario in (one for one in SCENARIOS if one.queue == queue):
                results[scenario] = ([], [], [], [])
                probes = [pair.measure_boardbus, pair.measure_board_floor, pair.measure_floor]
                probes += [] if scenario.rate else [pair.measure_dedupe_floor]
                for number in range(options.pairs):
                    for reports, probe in zip(results[scenario], probes):
                        forget_keys(brokers)
                        reports.append(pair.with_cpu(probe, scenario))
                    ours, floor, bare = (reports[-1] for reports in results[scenario][:3])
                    print(f"{scenario}, round {number + 1}: boardbus {brief(ours)} | floor {brief(floor)} | bare {brief(bare)}", flush=True)
            pair.end()
        except BaseException:
            pair.kill()
            raise
    return results


def brief(report: dict) -> str:
    latency = report["latency_us"]
    return f"{report['events_per_s']:,.0f}/s p50 {latency['p50'] / 1000:.2f} ms p99 {latency['p99'] / 1000:.2f} ms"


def spread(values, form: str) -> str:
    return f"{statistics.median(values):{form}} ({min(values):{form}} to {max(values):{form}})"


def row(scenario: Scenario, what: str, form: str, results, value) -> str:
    ours, *floors = ([value(report) for report in reports] for reports in results[:3])
    cells = [f"{scenario} | {what} | {spread(ours, form)}"]
    for floor in floors:
        cells += [spread(floor, form), spread([one / other for one, other in zip(ours, floor)], ".2f")]
    return f"| {' | '.join(cells)} |"


def table(results: dict) -> str:
    lines = ["| Scenario | | boardbus | floor, same message | boardbus / floor | bare floor | boardbus / bare floor |", "|---" * 7 + "|"]
    for scenario, reports in results.items():
        if not scenario.rate:
            lines.append(row(scenario, "events/s", ",.0f", reports, lambda report: report["events_per_s"]))
        else:
            for quantile in ("p50", "p99"):
                lines.append(row(scenario, f"{quantile}, ms", ".2f", reports, lambda report: report["latency_us"][quantile] / 1000))
    return "\n".join(lines)


def cpu_table(results: dict) -> str:
    """Who uses the cores at saturation, and what the floor does without history."""
    saturated = {scenario: reports for scenario, reports in results.items() if not scenario.rate}
    names = list(next(iter(saturated.values()))[0][0]["cpu_us"])
    lines = [f"| Saturation | events/s | CPU per event, µs: {' | '.join(names)} |", "|---" * (len(names) + 2) + "|"]
    for scenario, sides in saturated.items():
        for what, reports in zip(("boardbus", "floor, same message", "bare floor", "bare floor without history"), sides):
            cells = [f"{statistics.median(report['cpu_us'][name] for report in reports):.1f}" for name in names]
            lines.append(f"| {scenario.queue}, {what} | {spread([report['events_per_s'] for report in reports], ',.0f')} | {' | '.join(cells)} |")
    return "\n".join(lines)


def said(*command) -> str:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    return done.stdout.strip() if done.returncode == 0 else "unknown"


def processor() -> str:
    models = [line.partition(":")[2].strip() for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines()
              if line.startswith("model name")]
    return models[0] if models else platform.machine()


def facts(options, rabbitmq: str, load_before: str) -> str:
    changed = " with uncommitted changes" if said("git", "status", "--porcelain", "--untracked-files=no") else ""
    return "\n".join(f"- {name}: {value}" for name, value in {
        "Machine": f"{os.cpu_count()} cores, {processor()}; {platform.system()} {platform.release()}",
        "Load average before the first run": load_before,
        "Brokers' data on": said("findmnt", "-n", "-o", "FSTYPE", "-T", str(RUNS)),
        "RabbitMQ": rabbitmq,
        "Redis": f"{said('redis-server', '--version').split()[2].removeprefix('v=')}, {' '.join(REDIS_ARGUMENTS)}",
        "boardbus": f"{said(str(options.build / 'boardbus'), 'version').removeprefix('boardbus ')}, {said('git', 'rev-parse', '--short', 'HEAD')}{changed}",
        "Runs": f"{options.pairs} rounds for each row, {options.seconds:g} s each after {options.warmup:g} s, "
                f"{options.window} events on their way at saturation",
        "Command": f"`{shlex.join(['./dev', 'bench', 'pipeline', *sys.argv[1:]])}`",
        "Date": datetime.date.today().isoformat(),
    }.items())


def tables(placement: str, results: dict) -> str:
    return f"## {placement.capitalize()}: {PLACEMENTS[placement].what}\n{table(results)}\n\n{cpu_table(results)}\n"


def write_result(options, placed, load_before: str) -> None:
    parts = "\n".join(tables(placement, results) for placement, (results, _) in placed.items())
    rabbitmq = next(iter(placed.values()))[1]
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(
        "# The pipeline beside its floor\n\n"
        "Written by `./dev bench pipeline`; bench/README.md says what the numbers mean. Each cell: the median and, in brackets, the lowest and the\n"
        "highest run; a quotient is that of neighbouring runs.\n\n"
        f"{parts}\n{facts(options, rabbitmq, load_before)}\n")
    print(f"written: {RESULT.relative_to(ROOT)}")


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


def measure_placed(options, placement: str) -> tuple:
    """The results and RabbitMQ's version."""
    from harness.brokers import Brokers
    print(f"{PLACEMENTS[placement].what}; starting RabbitMQ and Redis (about 8 s)", flush=True)
    folder = RUNS / placement
    folder.mkdir()
    brokers = Brokers(folder, REDIS_ARGUMENTS)
    try:
        start_placed(brokers, PLACEMENTS[placement])
        version = brokers.rabbitmq.ctl("version").strip()
        results = measure(options, brokers, folder)
    finally:
        brokers.end()
    print(f"\n{tables(placement, results)}", flush=True)
    return results, version


def main() -> int:
    options = parse_arguments()
    if not build(options):
        return 1
    os.environ["BOARDBUS_BIN"] = str(options.build / "boardbus")
    sys.path.insert(0, str(ROOT / "tests/system"))
    sys.dont_write_bytecode = True
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupted)
    load_before = " ".join(f"{load:.2f}" for load in os.getloadavg())
    shutil.rmtree(RUNS, ignore_errors=True)
    RUNS.mkdir(parents=True)
    try:
        placed = {placement: measure_placed(options, placement) for placement in options.placement}
        if not options.quick:
            write_result(options, placed, load_before)
        return 0
    except (NotMeasured, AssertionError) as reason:
        print(f"not measured: {reason}; logs are in {RUNS.relative_to(ROOT)}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
