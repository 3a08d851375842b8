# SPDX-License-Identifier: BSD-3-Clause
"""What the benchmark runner writes: results as JSON, text, Markdown and an SVG plot."""

import json
import os
from html import escape

BAR_HEIGHT, ROW_HEIGHT, LEFT, WIDTH, RIGHT = 10, 18, 300, 520, 110
RATIO_MAX = 2.0


def ratio_text(row):
    if "ratio" not in row:
        return ""
    goal = f"  goal {row['goal']:.2f}" if row.get("goal") else ""
    itself = f"  A/A {row['itself']:.3f}" if "itself" in row else ""
    return f"{row['ratio']:6.3f} [{row['low']:.3f} .. {row['high']:.3f}]{goal}{itself}"


def third_text(row):
    """Ours beside yet another library, in the same run."""
    if "third" not in row:
        return ""
    return (f"beside {row['third']} ({row['third_value']:,.2f}) {row['third_ratio']:.3f}"
            f" [{row['third_low']:.3f} .. {row['third_high']:.3f}]")


def calls_text(row):
    """epoll_ctl and system calls in all, for one operation, beside the peer's."""
    if not row.get("calls"):
        return ""
    ours, theirs = row["calls"], row["base_calls"]
    return f"epoll_ctl {ours[0]:.2f} beside {theirs[0]:.2f}, calls {ours[1]:.2f} beside {theirs[1]:.2f}"


def value_text(row):
    beside = f" beside {row['base_value']:,.2f}" if "base_value" in row else ""
    return f"{row['value']:,.2f}{beside} {row['unit']}"


def line(row):
    """One row for the terminal."""
    if "failed" in row:
        return f"{row['name']:38} FAILED: {row['failed']}"
    if "base_value" in row:
        return f"{row['name']:51} {value_text(row):34} {ratio_text(row)}  {third_text(row)}  {calls_text(row)}".rstrip()
    if "value" in row:
        return f"{row['name']:38} {row['value']:12.2f} {row['unit']:4} {ratio_text(row)}"
    return (f"{row['name']:38} {ratio_text(row):42}  {row['cpu_us']:6.2f} us/request beside {row['base_cpu_us']:.2f}"
            f"  p50 {row['latency_difference_us']:+.1f} us  p99 x{row['p99_ratio']:.3f}")


def text(results):
    parts = []
    for result in results:
        parts.append(result["title"])
        bases = sorted({row["base"] for row in result["rows"] if "base" in row})
        if bases:
            parts.append(f"  ratios: beside {', '.join(bases)}, in alternating slices or rounds; median [quartiles]")
        parts += ["  " + line(row) for row in result["rows"]] + [""]
    return "\n".join(parts)


def markdown_load(rows):
    lines = ["| server | beside | CPU a request | quartiles | goal | median latency | p99 latency |",
             "|---|---|--:|--:|--:|--:|--:|"]
    for row in rows:
        if "failed" in row:
            lines.append(f"| {row['name']} | | failed | | | | |")
            continue
        goal = f"{row['goal']:.2f}" if row.get("goal") else ""
        lines.append(f"| {row['name']} | {row['base']} | {row['ratio']:.3f} | {row['low']:.3f}..{row['high']:.3f} | {goal} |"
                     f" {row['latency_difference_us']:+.1f} us | x{row['p99_ratio']:.3f} |")
    return lines


def markdown_values(rows):
    counted = any(row.get("calls") for row in rows)
    lines = ["| measure | value | ratio | quartiles | beside |" + (" epoll_ctl, calls in all |" if counted else ""),
             "|---|--:|--:|--:|---|" + ("--:|" if counted else "")]
    for row in rows:
        ratio = f"{row['ratio']:.3f} | {row['low']:.3f}..{row['high']:.3f}" if "ratio" in row else " | "
        base = "; ".join(filter(None, (row.get("base"), third_text(row))))
        lines.append(f"| {row['name']} | {value_text(row)} | {ratio} | {base} |" +
                     (f" {calls_text(row)} |" if counted else ""))
    return lines


def markdown(results):
    lines = []
    for result in results:
        table = markdown_values if any("value" in row for row in result["rows"]) else markdown_load
        lines += [f"### {result['title']}", "", *table(result["rows"]), ""]
    return "\n".join(lines)


def svg_row(row, y):
    scale = WIDTH / RATIO_MAX
    end = LEFT + min(row["ratio"], RATIO_MAX) * scale
    low, high = (LEFT + min(row[k], RATIO_MAX) * scale for k in ("low", "high"))
    colour = "#2b6cb0" if row["name"].startswith("torque") else "#a0aec0"
    middle = y + BAR_HEIGHT / 2
    parts = [f'<text x="{LEFT - 8}" y="{y + 9}" text-anchor="end">{escape(row["name"])}</text>',
             f'<rect x="{LEFT}" y="{y}" width="{end - LEFT:.1f}" height="{BAR_HEIGHT}" fill="{colour}"/>',
             f'<line x1="{low:.1f}" x2="{high:.1f}" y1="{middle}" y2="{middle}" stroke="#1a202c" stroke-width="2"/>',
             f'<text x="{LEFT + WIDTH + 8}" y="{y + 9}">{row["ratio"]:.3f}</text>']
    if row.get("goal"):
        x = LEFT + row["goal"] * scale
        parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{y - 3}" y2="{y + BAR_HEIGHT + 3}" stroke="#c53030"'
                     ' stroke-width="2"/>')
    return parts


def svg(results):
    """Bars: median ratio. Black line: quartiles. Red mark: goal. Grey line: 1.00, the peer it is measured beside."""
    parts, y = [], 40
    for result in results:
        rows = [row for row in result["rows"] if "ratio" in row]
        if not rows:
            continue
        bases = ", ".join(sorted({row["base"] for row in rows}))
        parts.append(f'<text x="8" y="{y + 10}" font-weight="bold">{escape(result["title"])}'
                     f' (1.00 = {escape(bases)})</text>')
        y += ROW_HEIGHT
        for row in rows:
            parts += svg_row(row, y)
            y += ROW_HEIGHT
        y += ROW_HEIGHT
    one = LEFT + WIDTH / RATIO_MAX
    head = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + WIDTH + RIGHT}" height="{y}" font-family="sans-serif"'
            ' font-size="11">',
            '<rect width="100%" height="100%" fill="white"/>',
            '<text x="8" y="20" font-size="14">Server CPU a request, or time a call, as a ratio (less is better)</text>',
            f'<line x1="{one}" x2="{one}" y1="30" y2="{y - ROW_HEIGHT}" stroke="#718096" stroke-dasharray="3 3"/>']
    return "\n".join([*head, *parts, "</svg>"]) + "\n"


def write(folder, results):
    os.makedirs(folder, exist_ok=True)
    for suffix, content in (("json", json.dumps(results, indent=1)), ("txt", text(results)),
                            ("md", markdown(results)), ("svg", svg(results))):
        with open(os.path.join(folder, "results." + suffix), "w", encoding="utf-8") as out:
            out.write(content)
