#!/usr/bin/env python3
"""Draws what receiving costs, from the table in RESULTS-receiving.md: docs/receiving.svg.

  python3 benches/plot.py

For each packet size there is a group of bars at the highest rate that every receiver held. The same
table gives the same file.
"""

import pathlib
import re

HERE = pathlib.Path(__file__).resolve().parent
TABLE = HERE / "RESULTS-receiving.md"
PLOT = HERE.parent / "docs/receiving.svg"

SECTION = "## UDP over loopback, receiver CPU s/GB"
HEADERS = 56  # bytes of a packet before its payload

# Columns of the table: what they are called in the plot, and their colours (Okabe and Ito's, which most
# eyes tell apart).
BARS = {
    "ours": ("speadway", "#0072B2"),
    "built": ("spead2 4.5.1 built from source", "#E69F00"),
    "wheel": ("spead2 4.5.1 from PyPI", "#D55E00"),
    "minimal": ("the least: receive, copy, count", "#999999"),
}

WIDTH, HEIGHT = 760, 400
LEFT, RIGHT, TOP, BOTTOM = 64, 16, 84, 56
BAR, GAP = 40, 4


def rows(text):
    """The first table of the section: for each row what its load and columns say."""
    lines = text.split(SECTION, 1)[1].splitlines()
    start = next(at for at, line in enumerate(lines) if line.startswith("| load |"))
    names = cells(lines[start])
    for line in lines[start + 2:]:
        if not line.startswith("|"):
            return
        yield dict(zip(names, cells(line)))


def cells(line):
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def number(cell):
    """CPU s/GB, or None where something was lost."""
    found = re.match(r"[0-9.]+", cell)
    return float(found[0]) if found else None


def groups(text):
    """(payload, rate, values) for each payload, at the highest rate that all held."""
    best = {}
    for row in rows(text):
        load = dict(word.split("=") for word in row["load"].split())
        values = [number(row[name]) for name in BARS]
        if None not in values:
            payload, rate = int(load["payload"]), float(load["rate"])
            best[payload] = max(best.get(payload, (0, [])), (rate, values))
    return [(payload, rate, values) for payload, (rate, values) in sorted(best.items())]


def text(x, y, words, size=12, anchor="middle", more=""):
    return (
        f'<text x="{x:g}" y="{y:g}" font-size="{size}" text-anchor="{anchor}"{more}>{words}</text>'
    )


def legend():
    """Two rows of two above the bars."""
    for at, (name, colour) in enumerate(BARS.values()):
        x, y = LEFT + (at % 2) * 300, 38 + (at // 2) * 20
        yield f'<rect x="{x}" y="{y}" width="12" height="12" fill="{colour}"/>'
        yield text(x + 18, y + 10, name, anchor="start")


def axis(top, y_of):
    for tenth in range(int(top * 10 + 0.5) + 1):
        y = y_of(tenth / 10)
        yield f'<line x1="{LEFT}" y1="{y:g}" x2="{WIDTH - RIGHT}" y2="{y:g}" stroke="#DDDDDD"/>'
        yield text(LEFT - 8, y + 4, f"{tenth / 10:.1f}", anchor="end")
    middle = (TOP + HEIGHT - BOTTOM) / 2
    yield text(18, middle, "CPU seconds per GB", more=f' transform="rotate(-90 18 {middle:g})"')


def bars(measured, y_of):
    step = (WIDTH - LEFT - RIGHT) / len(measured)
    floor = y_of(0)
    for at, (payload, rate, values) in enumerate(measured):
        middle = LEFT + (at + 0.5) * step
        x = middle - (len(values) * (BAR + GAP) - GAP) / 2
        for value, (_, colour) in zip(values, BARS.values()):
            y = y_of(value)
            yield f'<rect x="{x:g}" y="{y:g}" width="{BAR}" height="{floor - y:g}" fill="{colour}"/>'
            yield text(x + BAR / 2, y - 4, f"{value:.2f}", size=11)
            x += BAR + GAP
        yield text(middle, floor + 20, f"packets of {payload + HEADERS} B")
        yield text(middle, floor + 36, f"at {rate:g} Gb/s", size=11)


def draw(measured):
    top = max(value for _, _, values in measured for value in values)
    top = -(-top * 10 // 1) / 10

    def y_of(value):
        return round(HEIGHT - BOTTOM - value / top * (HEIGHT - BOTTOM - TOP), 1)

    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}"'
        f' viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" fill="#222222">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#FFFFFF"/>',
        text(WIDTH / 2, 24, "What receiving UDP into chunks takes of the receiver's core", size=15),
        *legend(), *axis(top, y_of), *bars(measured, y_of), "</svg>", "",
    ])


def main():
    PLOT.write_text(draw(groups(TABLE.read_text())))
    print(PLOT)


if __name__ == "__main__":
    main()
