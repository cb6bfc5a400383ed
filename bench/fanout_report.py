"""The report of all fan-out rows: Markdown, and the tables that the documents quote.

Everything between `<!-- NAME: begin -->` and `<!-- NAME: end -->` in README.md and docs/performance.md is written here and nowhere else.
SPDX-License-Identifier: Apache-2.0
"""
import json
import pathlib
import re
import statistics

from fanout_numbers import outcome
from fanout_plot import plot
from fanout_rows import ROWS

# What the README quotes: one measure of each of these rows.
SUMMARY = {"saturated-1000": "deliveries_per_s", "saturated-10000": "deliveries_per_s", "paced-200": "latency_us.p50",
           "memory-10000": "rss_per_socket", "connects": "opened_per_s", "sockets": "all_us", "sse": "deliveries_per_s"}


def measured_rows(results: pathlib.Path) -> list:
    """[(row, its saved result, [outcomes])] in the order of the table."""
    rows = []
    for row in ROWS:
        file = results / f"{row.name}.json"
        if file.exists():
            saved = json.loads(file.read_text())
            outcomes = [found for found in (outcome(measure, saved["pairs"]) for measure in row.measures) if found]
            rows.append((row, saved, outcomes))
    return rows


def median(values, form: str) -> str:
    return f"{statistics.median(values):{form}}" if values else ""


def judged_text(found) -> str:
    """Median [interval] (lowest to highest)."""
    form = ".3f" if found.measure.is_ratio else found.measure.form
    values, interval = found.judged, found.interval
    text = f"{found.median:{form}}"
    if len(values) > 1:
        text += f" [{interval.low:{form}} to {interval.high:{form}}]"
    if len(values) > 5:
        text += f" ({min(values):{form}} to {max(values):{form}})"
    return text


def target_text(measure) -> str:
    if measure.target is None:
        return ""
    return f"{'≥' if measure.higher_is_better else '≤'} {measure.target:g}"


def row_lines(row, saved, outcomes) -> list:
    lines = []
    for number, found in enumerate(outcomes):
        title = f"**{row.name}**: {row.title}" if number == 0 else ""
        judged = judged_text(found) if found.measure.is_ratio or found.measure.target is not None else ""
        lines.append(f"| {title} | {found.measure.label} | {median(found.ours, found.measure.form)} | "
                     f"{median(found.other, found.measure.form)} | {judged} | {target_text(found.measure)} | {found.verdict()} | "
                     f"{len(saved['pairs']) if number == 0 else ''} |")
    return lines


def table(rows) -> str:
    lines = ["| Row | Measure | boardbus | the other | judged: median [interval] (range) | target | verdict | pairs |", "|---|---|---|---|---|---|---|---|"]
    return "\n".join([*lines, *(line for row in rows for line in row_lines(*row))])


def others() -> str:
    """What `the other` is where it is not the floor, and other remarks."""
    lines = []
    for row in (row for row in ROWS if row.other != "floor" or row.note):
        other = f" the other is {row.other}." if row.other != "floor" else ""
        note = f" {row.note[0].upper()}{row.note[1:]}." if row.note else ""
        lines.append(f"- **{row.name}**:{other}{note}")
    return "\n".join(lines)


def facts(rows) -> str:
    def values(key):
        return "; ".join(dict.fromkeys(str(saved[key]) for _, saved, _ in rows))
    loads = [saved["load_before"] for _, saved, _ in rows]
    return "\n".join([
        f"- Machine: {values('machine')}; {values('tcp')}; {values('files')}; server and load generator on a core each, over loopback",
        f"- boardbus: {values('boardbus')}",
        f"- Load average before each row: {min(loads):.1f} to {max(loads):.1f} (the rows before leave their own)",
        f"- Commands: {'; '.join(f'`{command}`' for command in dict.fromkeys(saved['command'] for _, saved, _ in rows))}",
        f"- Date: {values('date')}; {sum(saved['took_s'] for _, saved, _ in rows) / 60:.0f} minutes of measuring"])


def summary(rows) -> str:
    """The README's table."""
    lines = ["| | boardbus | beside it | quotient | pairs |", "|---|---|---|---|---|"]
    for row, saved, outcomes in (one for one in rows if one[0].name in SUMMARY):
        found = next(found for found in outcomes if found.measure.key == SUMMARY[row.name])
        quotient = judged_text(found) if found.measure.is_ratio else ""
        other = f"{median(found.other, found.measure.form)} ({row.other})" if found.other else ""
        lines.append(f"| {row.title}: {found.measure.label} | {median(found.ours, found.measure.form)} | {other} | {quotient} | "
                     f"{len(saved['pairs'])} |")
    return "\n".join(lines)


MILLION = 1_000_000
CORES = 16


def extrapolation(rows) -> str:
    """From the row `sockets` to a million, with the arithmetic."""
    saved = next(saved for row, saved, _ in rows if row.name == "sockets")

    def middle(key):
        return statistics.median(pair["ours"][key] for pair in saved["pairs"])
    sockets, rss, kernel = middle("sockets"), middle("rss_per_socket"), middle("kernel_per_socket")
    cpu, due_to_last, event = middle("cpu_us_per_delivery"), middle("all_us") / 1e6, middle("event_bytes")
    return "\n".join([
        f"Measured with {sockets:,.0f} sockets on one core: {rss:,.0f} B of RSS and {kernel:,.0f} B of kernel memory per socket (server's end),",
        f"{cpu:.2f} µs of CPU per delivery of {event:,.0f} B, {due_to_last:.3f} s from due to the last reader.", "",
        "| For 1,000,000 sockets | Arithmetic | |", "|---|---|---|",
        f"| RSS | 1,000,000 × {rss:,.0f} B | {MILLION * rss / 1e6:,.0f} MB |",
        f"| kernel memory, idle sockets | 1,000,000 × {kernel:,.0f} B | {MILLION * kernel / 1e9:,.1f} GB |",
        f"| CPU for one event to all | 1,000,000 × {cpu:.2f} µs | {MILLION * cpu / 1e6:,.1f} core seconds |",
        f"| one event to all, {CORES} cores, perfectly spread | {MILLION * cpu / 1e6:,.1f} s ÷ {CORES} | {MILLION * cpu / 1e6 / CORES:,.2f} s |",
        f"| events to all per second at 50 % of {CORES} cores | 0.5 × {CORES} ÷ {MILLION * cpu / 1e6:,.1f} s | "
        f"{0.5 * CORES / (MILLION * cpu / 1e6):,.2f} |",
        f"| wire, one event to all | 1,000,000 × ({event:,.0f} + 4 + 66) B | {MILLION * (event + 70) * 8 / 1e9:,.2f} Gbit |"])


def replace_between_markers(file: pathlib.Path, name: str, text: str) -> None:
    pattern = re.compile(rf"(<!-- {name}: begin -->\n).*?(<!-- {name}: end -->)", re.S)
    content = file.read_text()
    assert pattern.search(content), f"{file} has no place for {name}"
    file.write_text(pattern.sub(lambda found: f"{found.group(1)}{text}\n{found.group(2)}", content))


def write_report(root: pathlib.Path, results: pathlib.Path) -> None:
    rows = measured_rows(results)
    absent = [row.name for row in ROWS if row not in [one for one, _, _ in rows]]
    if absent:
        raise SystemExit(f"no report before all rows are measured; absent: {', '.join(absent)}")
    out = root / "bench/results"
    out.mkdir(exist_ok=True)
    (out / "fanout.md").write_text(
        "# Fan-out beside its floor\n\n"
        "Written by `./dev bench fanout --report`; bench/README.md says what the numbers mean. Values are medians. What is judged is the median\n"
        "of the quotients of neighbouring runs (or of our own values, where the target is absolute), with a confidence interval of at least\n"
        "95 % from 6 pairs on (with fewer: lowest and highest), and their range.\n\n"
        f"{table(rows)}\n\n{others()}\n\n![How far each measure is from its target](fanout.svg)\n\n{facts(rows)}\n")
    (out / "fanout.svg").write_text(plot([(row, found) for row, _, outcomes in rows for found in outcomes if found.measure.target is not None]))
    picture = "![How far each measure is from its target](../bench/results/fanout.svg)"
    replace_between_markers(root / "docs/performance.md", "fanout", f"{table(rows)}\n\n{others()}\n\n{picture}\n\n{facts(rows)}")
    replace_between_markers(root / "docs/performance.md", "extrapolation", extrapolation(rows))
    replace_between_markers(root / "README.md", "fanout-summary", summary(rows))
    print("written: bench/results/fanout.md, fanout.svg, tables in README.md and docs/performance.md")
