"""Tables in Markdown and charts in SVG, as far as the benchmarks need them."""

import math
import xml.sax.saxutils

# Readable on a light and on a dark page; the first colour is ours.
STYLE = """
text { font: 13px system-ui, sans-serif; fill: #24292f }
.title { font-weight: 600 } .small, .name { font-size: 11px }
.c0 { fill: #0b6bcb; stroke: #0b6bcb } .c1 { fill: #8c959f; stroke: #8c959f } .c2 { fill: #bc6c00; stroke: #bc6c00 }
.c3 { fill: #1a7f37; stroke: #1a7f37 } .c4 { fill: #8250df; stroke: #8250df } .c5 { fill: #cf222e; stroke: #cf222e }
text.name { stroke: none } .line { fill: none; stroke-width: 2 } .grid { stroke: #8c959f; stroke-opacity: .3 }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 } .c0 { fill: #58a6ff; stroke: #58a6ff } .c2 { fill: #e3a04f; stroke: #e3a04f }
  .c3 { fill: #57ab5a; stroke: #57ab5a } .c4 { fill: #b083f0; stroke: #b083f0 } .c5 { fill: #f47067; stroke: #f47067 }
}
"""
WIDTH = 760
BAR_LEFT, BAR_WIDTH, BAR_STEP = 250, 400, 20
PLOT_LEFT, PLOT_RIGHT, PLOT_HEIGHT, NAME_HEIGHT = 52, 96, 200, 14


def number(value):
    """Three digits, as far as a measurement has them."""
    if value >= 100:
        return f"{value:,.0f}".replace(",", " ")
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def table(header, rows):
    """The first column is text, the others are figures."""
    rules = ["---", *["---:"] * (len(header) - 1)]
    return "\n".join("| " + " | ".join(row) + " |" for row in [header, rules, *rows])


def put_section(document, name, text):
    """Replaces a section of a document, which stands between two comments."""
    begin, end = f"<!-- {name}, written by ", "<!-- end -->"
    before, found, rest = document.read_text().partition(begin)
    mark, _, rest = rest.partition("\n")
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise RuntimeError(f"{document} has no section {name}")
    document.write_text(f"{before}{begin}{mark}\n{text}\n{end}{after}")


class Svg:
    def __init__(self):
        self.parts = []

    def text(self, x, y, text, anchor="start", style=""):
        text = xml.sax.saxutils.escape(text)
        self.parts.append(f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}" class="{style}">{text}</text>')

    def line(self, x1, y1, x2, y2):
        self.parts.append(f'<path d="M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}" class="grid" fill="none"/>')

    def write(self, path, height, title):
        label = xml.sax.saxutils.quoteattr(title)
        head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}"'
        head += f' width="{WIDTH}" height="{height:.0f}" role="img" aria-label={label}>'
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join([head, f"<style>{STYLE}</style>", *self.parts, "</svg>", ""]))


def bars(path, title, panels):
    """Panels, one below the other, of a title and bars: label, value, what is written, colour.

    Every panel has its own scale, from zero.
    """
    svg = Svg()
    y = 24
    svg.text(0, y, title, style="title")
    for heading, rows in panels:
        y += 30
        svg.text(0, y, heading, style="title")
        longest = max(value for _, value, _, _ in rows)
        for label, value, written, colour in rows:
            y += BAR_STEP
            width = BAR_WIDTH * value / longest
            svg.text(BAR_LEFT - 8, y, label, "end")
            svg.parts.append(f'<rect x="{BAR_LEFT}" y="{y - 12}" width="{width:.1f}" height="15" class="c{colour}"/>')
            svg.text(BAR_LEFT + width + 6, y, written)
    svg.write(path, y + 16, title)


def lines(path, title, rows):
    """Rows of panels, side by side: a title, the x axis' name and lines of name and points.

    Both axes are logarithmic.
    """
    svg = Svg()
    svg.text(0, 24, title, style="title")
    bottom = 24
    for panels in rows:
        top, bottom = bottom + 46, bottom + 46 + PLOT_HEIGHT
        for index, (heading, x_name, series) in enumerate(panels):
            width = WIDTH / len(panels)
            left, right = index * width + PLOT_LEFT, (index + 1) * width - PLOT_RIGHT
            svg.text(left - PLOT_LEFT + 8, top - 18, heading, style="title")
            points = [point for _, drawn in series for point in drawn]
            xs = sorted({x for x, _ in points})
            x_of = scale(xs, left, right, 1)
            low, high = min(y for _, y in points), max(y for _, y in points)
            decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
            y_of = scale([10.0**decade for decade in decades], bottom, top, 10)
            for decade in decades:
                y = y_of(10.0**decade)
                svg.line(left, y, right, y)
                svg.text(left - 6, y + 4, duration(decade), "end", "small")
            for x in xs:
                svg.text(x_of(x), bottom + 16, str(x), "middle", "small")
            svg.text((left + right) / 2, bottom + 34, x_name, "middle", "small")
            ends = []
            for colour, (name, drawn) in enumerate(series):
                path_data = "L".join(f"{x_of(x):.1f} {y_of(y):.1f}" for x, y in drawn)
                svg.parts.append(f'<path d="M{path_data}" class="line c{colour}" style="fill:none"/>')
                ends.append((y_of(drawn[-1][1]), name, colour))
            # Names stand at the ends of their lines, upwards from the lowest, and do not overlap.
            below = bottom + NAME_HEIGHT
            for y, name, colour in sorted(ends, reverse=True):
                below = min(y, below - NAME_HEIGHT)
                svg.text(right + 6, below + 4, name, style=f"name c{colour}")
        bottom += 40
    svg.write(path, bottom + 8, title)


def duration(decade):
    """A power of ten of nanoseconds."""
    return f"{10 ** (decade % 3)} {('ns', 'µs', 'ms', 's')[decade // 3]}"


def scale(values, start, end, least_ratio):
    """Maps values logarithmically from their range to another."""
    low, high = min(values), max(values)
    span = math.log(max(high / low, least_ratio * 1.0001))
    return lambda value: start + (end - start) * math.log(value / low) / span
