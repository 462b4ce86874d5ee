"""Draws the path of two requests of one session, for README.md: `picture.py [--check] FILE`."""

import argparse
import pathlib
import sys
import tempfile

import figures

CLIENT, GATEWAY, ACCOUNTS = (0, 92), (322, 534), (666, figures.WIDTH - 1)
TOP, MIDDLE, LOW, BOTTOM = 34, 146, 172, 284


class Picture(figures.Svg):
    def box(self, columns, top, bottom, *lines):
        """A box of lines, of which the first is bold."""
        (left, right), y = columns, top + 22
        self.parts.append(
            f'<rect x="{left + 0.5}" y="{top}" width="{right - left}" height="{bottom - top}" rx="6" '
            'fill="none" class="grid"/>'
        )
        for i, line in enumerate(lines):
            self.text(left + 12, y, line, style="" if i else "title")
            y += 19

    def arrow(self, start, end, colour, label="", below="", anchor="start"):
        """An arrow with words above and below it."""
        (x1, y1), (x2, y2) = start, end
        length = ((x2 - x1) ** 2 + (y2 - y1) ** 2) ** 0.5
        dx, dy = (x2 - x1) / length, (y2 - y1) / length
        dashes = ' stroke-dasharray="4 4"' if colour == 5 else ""
        self.parts.append(
            f'<path d="M{x1} {y1}L{x2 - 6 * dx:.1f} {y2 - 6 * dy:.1f}" class="line c{colour}" '
            f'style="fill:none"{dashes}/>'
        )
        tip = [(x2, y2), *((x2 - 9 * dx + s * 4 * dy, y2 - 9 * dy - s * 4 * dx) for s in (1, -1))]
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in tip)
        self.parts.append(f'<polygon points="{points}" class="c{colour}" stroke="none"/>')
        left = min(x1, x2) + 8
        self.text(left, y1 - 7, label)
        self.text(left, y1 + 16, below)


def draw(path):
    svg = Picture()
    for columns, heading in (
        (CLIENT, "client"),
        (GATEWAY, "gateway, with tokenpin"),
        (ACCOUNTS, "provider"),
    ):
        svg.text(columns[0], 20, heading, style="title")
    svg.box(CLIENT, TOP, BOTTOM, "", "an SDK", "keeps the", "id; a", "browser", "keeps the", "cookie")
    first = "no pin: selection by the key,", "which names account-b;", "its token goes in"
    svg.box(GATEWAY, TOP, MIDDLE, "replica 1", *first)
    second = "opens the id, or checks the", "cookie: account-b or none;", "its token goes in"
    svg.box(GATEWAY, LOW, BOTTOM, "replica 2", *second)
    svg.box(ACCOUNTS, TOP, 80, "account-a")
    svg.box(ACCOUNTS, 120, 198, "account-b", "has resp_1")
    svg.box(ACCOUNTS, 238, BOTTOM, "account-c")
    left, right = CLIENT[1], GATEWAY[0]
    svg.arrow((left, 62), (right, 62), 0, "1  POST /v1/responses")
    svg.arrow((right, 112), (left, 112), 0, "3  sealed id: resp_…tp1", "    Set-Cookie: __Host-tokenpin=…")
    svg.arrow((left, 204), (right, 204), 0, "4  GET /v1/responses/resp_…tp1", "    Cookie: __Host-tokenpin=…")
    svg.arrow((right, 262), (left, 262), 0, "6  200, id: resp_…tp1")
    left, right = GATEWAY[1], ACCOUNTS[0]
    svg.arrow((left, 96), (right, 146), 0)
    svg.text(left + 40, 94, "2  token of b")
    svg.arrow((left, 210), (right, 172), 0)
    svg.text(left + 40, 216, "5  …/resp_1")
    svg.arrow((left, 250), (right, 262), 5)
    svg.text(left + 14, 278, "elsewhere: 404")
    svg.text(
        0,
        BOTTOM + 26,
        "All replicas have the same configuration and keys, and share no storage. Each gives the same answer.",
        style="small",
    )
    svg.write(path, BOTTOM + 40, "Two requests of one session, through two replicas, to one account")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=pathlib.Path)
    parser.add_argument("--check", action="store_true", help="compares, and writes nothing")
    options = parser.parse_args()
    if not options.check:
        draw(options.file)
        return
    with tempfile.TemporaryDirectory() as folder:
        fresh = pathlib.Path(folder, "picture.svg")
        draw(fresh)
        if fresh.read_bytes() != options.file.read_bytes():
            sys.exit(f"{options.file} is not what the code draws: make picture")


if __name__ == "__main__":
    main()
