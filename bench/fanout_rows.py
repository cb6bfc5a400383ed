"""The rows of the fan-out table: what each runs, what it reports, and what it has to reach.

A row's `pair` function makes one pair of runs, {"ours": report, "other": report}. bench/README.md says what the rows are about.
SPDX-License-Identifier: Apache-2.0
"""
import contextlib
import time
from dataclasses import dataclass
from typing import Callable

from fanout_numbers import Measure
from fanout_servers import Load, NotMeasured, Server, kernel_bytes, run_load


@dataclass(frozen=True)
class Row:
    name: str
    title: str
    pair: Callable          # (context) -> {"ours": …, "other": …}
    measures: tuple
    pair_seconds: float     # About, for the estimate.
    pairs: int = 11
    other: str = "floor"    # What ours is compared with.
    note: str = ""


def floor_pair(context, ours_arguments, *, seconds, warmup, ours_settings=None, cores=None, deflate_each=False) -> dict:
    """boardbus, then the floor with events of the same size, on fresh processes."""
    with Server(context, "boardbus", settings=ours_settings, cores=cores) as server:
        ours = run_load(context, server, *ours_arguments, seconds=seconds, warmup=warmup)
    with Server(context, "floor", event_bytes=round(ours["event_bytes"]), deflate_each=deflate_each) as server:
        other = run_load(context, server, *ours_arguments, seconds=seconds, warmup=warmup)
    return {"ours": ours, "other": other}


def few(context, count: int, quick: int = 1000) -> int:
    return min(count, quick) if context.quick else count


# Throughput.

def saturated(readers: int):
    def pair(context):
        return floor_pair(context, ["--readers", few(context, readers), "--window", 16], seconds=context.length(4), warmup=context.warmup())
    return pair


def deliveries(target, label="deliveries/s") -> Measure:
    return Measure("deliveries_per_s", label, target, higher_is_better=True, form=",.0f")


CPU = "CPU per delivery, µs"
CPU_INFORMATION = Measure("cpu_us_per_delivery", CPU, form=",.2f")


def two_loops(context):
    return floor_pair(context, ["--readers", few(context, 1000), "--window", 16], seconds=context.length(4), warmup=context.warmup(),
                      ours_settings={"THREADS": "2"}, cores=f"{context.server_core},{context.load_core}")


# Latency.

def paced(rate: float, seconds: float):
    def pair(context):
        # At 2 events/s a short run would have no event at all.
        length = max(context.length(seconds), 1.5 / rate if context.quick else 0)
        return floor_pair(context, ["--readers", 1000, "--rate", rate], seconds=length, warmup=context.warmup())
    return pair


def latency(target=None, of="latency_us", what="") -> tuple:
    return tuple(Measure(f"{of}.{quantile}", f"{what}{quantile}, ms", target, scale=1e-3) for quantile in ("p50", "p99"))


PACED = (*latency(1.1), Measure("cpu_us_per_delivery", CPU, 1.1))


# Memory and connections.

# One-time memory (buffers, tables, code that is read in at its first use) is paid before the first look. Few, because what these sockets
# leave behind serves the next ones for nothing.
WARM_SOCKETS = 4


def warm(context, server, *arguments) -> None:
    run_load(context, server, *arguments, "--rate", 100, seconds=0.3, warmup=0)
    time.sleep(0.2)


def memory_side(context, kind: str, kind_of_socket: str, count: int) -> dict:
    extra = ["--readers", 1] if kind_of_socket == "--streams" else []
    with Server(context, kind) as server:
        warm(context, server, *extra, kind_of_socket, WARM_SOCKETS)
        before, kernel = server.rss_bytes(), kernel_bytes()
        with Load(context, server, *extra, kind_of_socket, count) as load:
            time.sleep(0.5)
            sockets = load.opened["sockets"]
            return {"sockets": sockets, "rss_per_socket": (server.rss_bytes() - before) / sockets, "rss_before": before,
                    # Both ends of a connection are on this machine.
                    "kernel_per_socket": sum(kernel_bytes().values()) / sockets / 2 - sum(kernel.values()) / sockets / 2}


def memory(kind_of_socket: str, count: int):
    def pair(context):
        number = few(context, count)
        ours = memory_side(context, "boardbus", kind_of_socket, number)
        floor = None if kind_of_socket == "--streams" else memory_side(context, "floor", kind_of_socket, number)
        return {"ours": ours, "other": floor}
    return pair


def per_socket(target) -> tuple:
    return (Measure("rss_per_socket", "RSS per socket, B", target, is_ratio=False, form=",.0f"),)


def connects(context):
    count = few(context, 10000)

    def side(kind):
        with Server(context, kind) as server:
            warm(context, server, "--readers", WARM_SOCKETS)
            with Load(context, server, "--readers", count) as load:
                return load.opened
    return {"ours": side("boardbus"), "other": side("floor")}


PROCESSES = 2


def all_sockets(context):
    """Two servers on one core and two load generators on the other: the file limit holds for each process."""
    each = 1000 if context.quick else min(19000, context.files - 200)
    rate = 4 if context.quick else 0.5
    seconds = max(context.length(10), 4 / rate)
    size = {}

    def side(kind):
        with contextlib.ExitStack() as stack:
            servers = [stack.enter_context(Server(context, kind, event_bytes=size.get("event", 0))) for _ in range(PROCESSES)]
            for server in servers:
                warm(context, server, "--readers", WARM_SOCKETS)
            before, kernel = sum(server.rss_bytes() for server in servers), kernel_bytes()
            loads = []
            for server in servers:  # One after the other: the handshakes are not what is measured.
                loads.append(stack.enter_context(Load(context, server, "--readers", each, "--rate", rate,
                                                      "--seconds", seconds, "--warmup", 0, "--sources", 8)))
            rss, kernel_after = sum(server.rss_bytes() for server in servers), kernel_bytes()
            for load in loads:
                load.go()
            reports = [load.finish(seconds + 60) for load in loads]
        sockets = sum(load.opened["sockets"] for load in loads)
        size["event"] = round(reports[0]["event_bytes"])
        return {"sockets": sockets, "deliveries": sum(report["deliveries"] for report in reports), "event_bytes": size["event"],
                # Both events of a pair are due at the same moment; the slower server has delivered to all.
                "all_us": max(report["last_reader_us"]["p50"] for report in reports),
                "cpu_us_per_delivery": sum(report["server_cpu_s"] for report in reports) * 1e6
                / sum(report["deliveries"] for report in reports),
                "rss_per_socket": (rss - before) / sockets,
                "kernel_per_socket": (sum(kernel_after.values()) - sum(kernel.values())) / sockets / 2}
    return {"ours": side("boardbus"), "other": side("floor")}


# What else must not spoil it.

def streams(context):
    count = few(context, 1000)
    shared = {"seconds": context.length(4), "warmup": context.warmup()}
    with Server(context, "boardbus") as server:
        # The publisher is a WebSocket and hears, too.
        ours = run_load(context, server, "--readers", 1, "--streams", count, "--window", 16, **shared)
    with Server(context, "boardbus") as server:
        other = run_load(context, server, "--readers", count + 1, "--window", 16, **shared)
    return {"ours": ours, "other": other}


def deflate(context):
    return floor_pair(context, ["--readers", 1000, "--deflate", "--window", 16, "--payload-bytes", 850], seconds=context.length(4),
                      warmup=context.warmup(), deflate_each=True)


STALLED = 50
STALLED_EVENT = 2048
STALLED_BOUND = 256 * 1024


def stalled(context):
    """In a short run the kernel's own buffers would take everything: events of 2 KiB, and a backlog that is bounded at 256 KiB."""
    seconds = 25 if not context.quick else 4
    arguments = ["--readers", few(context, 950, 100), "--rate", 200 if not context.quick else 1000, "--payload-bytes", STALLED_EVENT,
                 "--seconds", seconds, "--warmup", context.warmup()]

    def side(count):
        with Server(context, "boardbus", settings={"SLOW_CONSUMER_BYTES": STALLED_BOUND}) as server, \
                Load(context, server, *arguments, "--stalled", count) as load:
            before = server.rss_bytes()
            load.go()
            end = time.monotonic() + seconds
            while count and time.monotonic() < end:
                if server.metric("advanced_slow_readers_closed_total") >= count:
                    # The server waits 3 s for the answer to its close frame, which they find behind what they have not read.
                    load.say("resume")
                    break
                time.sleep(0.25)
            report = load.finish(seconds + 60)
            report["peak_rss_growth_mb"] = (server.peak_rss_bytes() - before) / 1e6
        if report["stalled_closed_1013"] != count:
            raise NotMeasured(f"of {count} stalled readers {report['stalled_closed_1013']} were closed with 1013")
        return report
    other, ours = side(0), side(STALLED)
    # The history of a memory bus grows, too, with or without stalled readers.
    ours["stalled_rss_mb"] = ours["peak_rss_growth_mb"] - other["peak_rss_growth_mb"]
    return {"ours": ours, "other": other}


def storm(context):
    count = few(context, 10000)
    return floor_pair(context, ["--readers", few(context, 500, 100), "--storm", count, "--rate", 100, "--opening", 1000],
                      seconds=context.length(8), warmup=context.warmup())


def boards(context):
    """What the loaded neighbours cost alone is measured, too, and taken off."""
    neighbours, rate = few(context, 10000, 500), 2000
    length = {"seconds": context.length(8), "warmup": context.warmup()}
    mine = ["--readers", 10, "--path", "/ws/boards/mine", "--rate", rate]
    theirs = ["--readers", neighbours, "--boards", neighbours, "--rate", rate]
    with Server(context, "boardbus") as server:
        alone = run_load(context, server, *mine, **length)
    with Server(context, "boardbus") as server, Load(context, server, *theirs, "--seconds", length["seconds"], "--warmup",
                                                     length["warmup"]) as load:
        load.go()
        without = load.finish(length["seconds"] + 60)
    with Server(context, "boardbus") as server, Load(context, server, *mine, "--seconds", length["seconds"], "--warmup",
                                                     length["warmup"]) as load:
        # Theirs run from before ours begins until after it ends.
        with Load(context, server, *theirs, "--seconds", length["seconds"] + 2 * length["warmup"] + 2, "--warmup", 0) as crowd:
            crowd.go()
            load.go()
            among = load.finish(length["seconds"] + 60)
            crowd.finish(length["seconds"] + 60)
    background = without["server_cpu_s"] / without["seconds"] * among["seconds"]
    among["cpu_us_per_delivery"] = (among["server_cpu_s"] - background) / among["deliveries"] * 1e6
    return {"ours": among, "other": alone}


ROWS = [
    Row("saturated-100", "saturated, 100 readers", saturated(100), (deliveries(0.85), CPU_INFORMATION), 14),
    Row("saturated-1000", "saturated, 1,000 readers", saturated(1000), (deliveries(0.95), CPU_INFORMATION), 14),
    Row("saturated-10000", "saturated, 10,000 readers", saturated(10000), (deliveries(0.95), CPU_INFORMATION), 17),
    Row("paced-200", "200 events/s to 1,000 readers", paced(200, 10), PACED, 26),
    Row("paced-20", "20 events/s to 1,000 readers", paced(20, 20), PACED, 46),
    Row("paced-2", "2 events/s to 1,000 readers", paced(2, 60), PACED, 126),
    Row("memory-1000", "1,000 idle WebSockets on a board", memory("--readers", 1000), per_socket(300), 5, 5),
    Row("memory-10000", "10,000 idle WebSockets on a board", memory("--readers", 10000), per_socket(300), 8, 5),
    Row("memory-19000", "19,000 idle WebSockets on a board", memory("--readers", 19000), per_socket(300), 11, 5),
    Row("memory-sse", "10,000 idle SSE streams", memory("--streams", 10000), per_socket(400), 5, 5),
    Row("connects", "10,000 new authenticated WebSockets", connects,
        (Measure("opened_per_s", "handshakes/s", 0.9, higher_is_better=True, form=",.0f"),
         Measure("cpu_us_per_open", "server CPU per handshake, µs", form=",.1f")), 7,
        note="a client's end of a handshake costs more than the server's, so that the load generator sets the pace: compare the CPU, too"),
    Row("sockets", "all sockets that the file limit allows (two processes), one event to all", all_sockets,
        (Measure("sockets", "sockets", form=",.0f", is_ratio=False),
         Measure("all_us", "due to last reader, ms", scale=1e-3, form=",.0f"), CPU_INFORMATION,
         Measure("rss_per_socket", "RSS per socket, B", form=",.0f", is_ratio=False),
         Measure("kernel_per_socket", "kernel memory per socket, B", form=",.0f", is_ratio=False)), 40, 3),
    Row("two-loops", "saturated, 1,000 readers, two loops on both cores", two_loops, (deliveries(None), CPU_INFORMATION), 14, 5,
        note="the load generator has to share its core with the second loop"),
    Row("sse", "saturated, 1,000 SSE streams", streams, (deliveries(0.8), CPU_INFORMATION), 14, other="WebSocket"),
    Row("deflate", "permessage-deflate, 1,000 readers, 1 KiB events", deflate, (deliveries(10), CPU_INFORMATION), 14,
        other="floor that deflates for each reader"),
    Row("stalled", f"{STALLED} of 1,000 readers stall, 200 events/s of 2 KiB", stalled,
        (Measure("latency_us.p99", "p99 of the others, ms", 1.1, scale=1e-3), Measure("latency_us.p50", "p50 of the others, ms", scale=1e-3),
         Measure("stalled_closed_1013", "closed with 1013", STALLED, higher_is_better=True, is_ratio=False, form=",.0f"),
         # 50 × 256 KiB if nothing were shared, and half of it for what is being written.
         Measure("stalled_rss_mb", "RSS for the stalled, MB", 20, is_ratio=False, form=",.1f")), 58, other="none stalled"),
    Row("storm", "10,000 are cut and come back, 500 stay, 100 events/s", storm,
        (Measure("storm_us.p99", "p99 of those who stay, in the storm, ms", 2, scale=1e-3),
         Measure("storm_us.p50", "p50 of those who stay, in the storm, ms", scale=1e-3),
         Measure("storm_back_s", "until all are back, s")), 24),
    Row("boards", "10 readers among 10,000 boards of one reader, both at 2,000 events/s", boards,
        (Measure("cpu_us_per_delivery", CPU, 1.1), *latency()), 38, other="the 10 readers alone",
        note="the CPU that the neighbours use alone is taken off"),
]
