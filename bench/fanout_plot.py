"""One picture of the whole table: how far each measure is from its target.

Every value is turned into "times its target", so that quotients, bytes and counts share one axis: at 1 the target is just met, to the right
it is surpassed. A bar is the confidence interval, the dot the median.
SPDX-License-Identifier: Apache-2.0
"""
import html
import math

WIDTH, LEFT, RIGHT, LINE, TOP = 960, 430, 110, 22, 64
LOW, HIGH = 0.4, 4.0
TICKS = (0.5, 0.7, 1.0, 1.5, 2.0, 3.0)
GOOD, BAD, INK, FAINT = "#1a7f4b", "#c0392b", "#222222", "#d9d9d9"


def x_of(times: float) -> float:
    share = (math.log(min(max(times, LOW), HIGH)) - math.log(LOW)) / (math.log(HIGH) - math.log(LOW))
    return LEFT + share * (WIDTH - LEFT - RIGHT)


def text(x: float, y: float, content: str, *, anchor="start", color=INK, size=13, weight="normal") -> str:
    return (f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{color}" font-size="{size}" font-weight="{weight}">'
            f"{html.escape(content)}</text>")


def axis(height: float) -> list:
    parts = []
    for tick in TICKS:
        at, is_target = x_of(tick), tick == 1.0
        parts.append(f'<line x1="{at:.1f}" y1="{TOP - 8}" x2="{at:.1f}" y2="{height - 34}" stroke="{INK if is_target else FAINT}" '
                     f'stroke-width="{1.5 if is_target else 1}"/>')
        parts.append(text(at, height - 16, "target" if is_target else f"× {tick:g}", anchor="middle", size=12))
    return parts


def row_parts(y: float, row, found) -> list:
    median, interval = found.times_target(found.median), found.interval
    low, high = sorted(found.times_target(value) or LOW for value in (interval.low, interval.high))
    if median is None:
        return []
    color = GOOD if median >= 1 else BAD
    value = f"{found.median:.2f}" if found.measure.is_ratio else f"{found.median:{found.measure.form}}"
    sign = "≥" if found.measure.higher_is_better else "≤"
    beyond = " →" if median > HIGH else " ←" if median < LOW else ""
    label = f"{row.name}: {found.measure.label}"
    return [text(LEFT - 14, y + 4, label, anchor="end"),
            f'<line x1="{x_of(low):.1f}" y1="{y:.1f}" x2="{x_of(high):.1f}" y2="{y:.1f}" stroke="{color}" stroke-width="5" '
            f'stroke-opacity="0.35" stroke-linecap="round"/>',
            f'<circle cx="{x_of(median):.1f}" cy="{y:.1f}" r="4.5" fill="{color}"/>',
            text(WIDTH - RIGHT + 12, y + 4, f"{value} ({sign} {found.measure.target:g}){beyond}", color=color, size=12)]


def plot(judged) -> str:
    """`judged`: [(row, outcome)] with targets. The picture as SVG."""
    height = TOP + LINE * len(judged) + 44
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="system-ui, sans-serif">',
             f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
             text(16, 26, "Fan-out: how far each measure is from its target", size=17, weight="bold"),
             text(16, 46, "Right of the line is better. Dot: median; bar: confidence interval; beside it the value and its target.", size=12),
             *axis(height)]
    for number, (row, found) in enumerate(judged):
        parts += row_parts(TOP + LINE * number + 10, row, found)
    return "\n".join([*parts, "</svg>"]) + "\n"
