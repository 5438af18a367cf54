"""Bars with their extremes, as plain SVG.

Owns the drawing of one figure of one row; never chooses what is drawn.
"""

from xml.sax.saxutils import escape

WIDTH = 640
LABEL_WIDTH = 120
VALUE_WIDTH = 130
BAR_HEIGHT = 22
GAP = 10
HEAD = 46
COLOURS = ("#2f6f4f", "#d9822b", "#5b6abf", "#8a5a83")


def bars(title, unit, digits, values):
    """`values` maps a name to a summary: a bar to its median, a line from its least to its most."""
    height = HEAD + len(values) * (BAR_HEIGHT + GAP)
    top = max(summary["max"] for summary in values.values()) or 1
    scale = (WIDTH - LABEL_WIDTH - VALUE_WIDTH) / top
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        f'font-family="sans-serif" font-size="13" role="img" aria-label="{quoted(title)}">',
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="8" y="20" font-weight="bold">{escape(title)}</text>',
        f'<text x="8" y="37" fill="#555555">{escape(unit)}</text>',
    ]
    for index, (name, summary) in enumerate(values.items()):
        parts += bar(index, name, summary, digits, scale)
    return "\n".join([*parts, "</svg>", ""])


def bar(index, name, summary, digits, scale):
    y = HEAD + index * (BAR_HEIGHT + GAP)
    middle = y + BAR_HEIGHT / 2
    at = lambda value: LABEL_WIDTH + value * scale
    least, most = at(summary["min"]), at(summary["max"])
    shown = f"{summary['median']:,.{digits}f}"
    return [
        f'<text x="{LABEL_WIDTH - 8}" y="{middle + 4:.1f}" text-anchor="end">{escape(name)}</text>',
        f'<rect x="{LABEL_WIDTH}" y="{y}" width="{max(summary["median"] * scale, 1):.1f}" '
        f'height="{BAR_HEIGHT}" fill="{COLOURS[index % len(COLOURS)]}"/>',
        f'<line x1="{least:.1f}" y1="{middle:.1f}" x2="{most:.1f}" y2="{middle:.1f}" '
        'stroke="#000000" stroke-width="1.5"/>',
        f'<text x="{most + 8:.1f}" y="{middle + 4:.1f}">{shown}</text>',
    ]


def quoted(text):
    return escape(text, {'"': "&quot;"})
