"""Reads the results of the benchmark program, over all rounds, and makes the tables and the charts.

Within a round the fastest sample counts, because it was disturbed least; for cold calls it is the
median. A ratio is formed within each round, where both sides ran within seconds of each other. The
report has the median over the rounds. A spread is the least and the greatest ratio.
"""

import argparse
import json
import pathlib
import statistics

import figures

FLEETS = [(n, down) for n in (2, 4, 8, 16, 64, 1024) for down in (0, 25, 50, 75, 90)]
LARGE = [(65_536, down) for down in (0, 25, 50)]
JUMPS = (8, 16, 64, 1024)
GROWTH = {
    "0": "all up",
    "25": "25 % down",
    "50": "50 % down",
    "75": "75 % down",
    "90": "90 % down",
    "mixed": "mixed weights",
}
DECISIONS = {
    "consumer": "a consumer's name",
    "home": "a valid cookie, token at home",
    "elsewhere": "a valid cookie, token elsewhere",
    "forged": "a forged cookie, so a new one",
    "minted": "no cookie, so a new one",
    "stateless": "no affinity wanted",
}


class Results:
    """Nanoseconds a call, or a byte, one value a round, by group, function and parameter."""

    def __init__(self, folder, rounds):
        self.values = {}
        for number in range(1, rounds + 1):
            for path in folder.glob(f"**/round{number}/benchmark.json"):
                name = json.loads(path.read_text())
                sample = json.loads((path.parent / "sample.json").read_text())
                (calls,) = (name["throughput"] or {"Elements": 1}).values()
                key = (name["group_id"], name["function_id"], name["value_str"])
                pairs = zip(sample["times"], sample["iters"], strict=True)
                samples = [time / iterations / calls for time, iterations in pairs]
                choose = statistics.median if key[0] == "cold" else min
                self.values.setdefault(key, []).append(choose(samples))

    def all(self, group, function, parameter=""):
        return self.values[group, function, str(parameter)]

    def ns(self, group, function, parameter=""):
        values = self.all(group, function, parameter)
        if group == "cold" and function != "nothing":
            clock = self.all("cold", "nothing")
            values = [max(value - one, 1) for value, one in zip(values, clock, strict=True)]
        return statistics.median(values)

    def ratios(self, group, over, under, parameter=""):
        """Of two functions."""
        over, under = (self.all(group, function, parameter) for function in (over, under))
        return [a / b for a, b in zip(over, under, strict=True)]

    def ratio(self, *names):
        return statistics.median(self.ratios(*names))

    def over_up(self, n, down, weights="equal"):
        """Select with slots down or mixed weights, over the same with all up at equal weights."""
        other = self.all(f"select-{weights}", "tokenpin", f"{n}-{down}")
        up = self.all("select-equal", "tokenpin", f"{n}-0")
        return statistics.median(a / b for a, b in zip(other, up, strict=True))

    def batches(self):
        """The parameters of the batches: slots, percent down, and whether weights are mixed."""
        names = [key[2] for key in self.values if key[:2] == ("batch", "batch")]
        return sorted(names, key=lambda name: ([int(part) for part in name.split("-")[:2]], name))

    def times(self, *names):
        ratio = self.ratio(*names)
        return figures.number(ratio) if ratio >= 0.1 else f"{ratio:.1g}"

    def spread(self, *names):
        ratios = self.ratios(*names)
        return f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"


def ns(results, *names):
    return figures.number(results.ns(*names))


def peers(results):
    """The tables of ratios: how many times as long as tokenpin each peer takes."""
    jump = figures.table(
        ["n", "tokenpin, ns", "paper", "`jumphash`", "`jumpch`", "jump-back"]
        + ["in a chain, ns", "paper", "jump-back"],
        [
            [
                str(n),
                ns(results, "jump", "tokenpin", n),
                results.spread("jump", "paper", "tokenpin", n),
                results.times("jump", "jumphash", "tokenpin", n),
                results.times("jump", "jumpch", "tokenpin", n),
                results.times("jump", "jump-back", "tokenpin", n),
                ns(results, "jump-chain", "tokenpin", n),
                results.times("jump-chain", "paper", "tokenpin", n),
                results.times("jump-chain", "jump-back", "tokenpin", n),
            ]
            for n in JUMPS
        ],
    )
    select_rows = []
    for n, down in FLEETS + LARGE:
        row = [f"{n}, {down} %"]
        for group in ("select-equal", "select-mixed"):
            parameter = f"{n}-{down}"
            row.append(ns(results, group, "tokenpin", parameter))
            for peer in ("home-and-pass", "rendezvous", "maglev"):
                measured = peer == "home-and-pass" or (n, down) in FLEETS
                row.append(results.times(group, peer, "tokenpin", parameter) if measured else "")
        select_rows.append(row)
    peer_names = ["home and a pass", "rendezvous", "Maglev"]
    select = figures.table(["n, down", "equal weights, ns", *peer_names, "mixed weights, ns", *peer_names], select_rows)
    batch = figures.table(
        ["n, down", "one by one, ns a key", "in batches, ns a key", "ratio"],
        [
            [", ".join(parameter.split("-")[:2]) + " %" + ", mixed" * parameter.endswith("mixed")]
            + [ns(results, "batch", name, parameter) for name in ("scalar", "batch")]
            + [results.spread("batch", "scalar", "batch", parameter)]
            for parameter in results.batches()
        ],
    )
    keyed = figures.table(
        ["key, n", "hash, ns", "hash and jump, ns", "hash and jump-back, ns"]
        + ["hash and select, ns", "over hash and jump"]
        + ["25 % down, ns", "`fnv1a32 % n`, ns", "our Higress strategy, ns"],
        [
            [f"{length} bytes, {n}", ns(results, "keyed", "hash", length)]
            + [ns(results, "keyed", f, f"{length}-{n}") for f in ("jump", "jump-back", "select")]
            + [f"{results.ratio('keyed', 'select', 'jump', f'{length}-{n}') - 1:+.0%}"]
            + [ns(results, "keyed", name, f"{length}-{n}") for name in ("down", "fnv1a", "higress")]
            for length in (16, 36)
            for n in (16, 64)
        ],
    )
    change = figures.table(
        ["one token fails, n", "tokenpin, ns", "Maglev table, ns"],
        [[str(n), *(ns(results, "change", f, n) for f in ("tokenpin", "maglev"))] for n in (16, 1024)],
    )
    cookie = figures.table(
        ["cookie", "tokenpin, ns", "signed jar, ns", "ratio", "name and scope hashed each time, ns"],
        [
            [name, *(ns(results, name, who) for who in ("tokenpin", "signed_jar"))]
            + [results.spread(name, "signed_jar", "tokenpin"), ns(results, name, "once")]
            for name in ("encode", "decode")
        ],
    )
    return jump, select, batch, keyed, change, cookie


def decisions(results):
    return figures.table(
        ["a decision among 16 tokens for", "hot, ns", "cold, ns"],
        [
            [what, ns(results, "decide", name), ns(results, "cold", f"decide-{name}")]
            for name, what in DECISIONS.items()
        ],
    )


def cold(results):
    names = {
        "jump": "tokenpin's jump",
        "paper": "the paper's jump",
        "select": "select",
        "select-down": "select, 25 % down",
        "maglev": "Maglev table",
    }
    rows = [[what, *(ns(results, "cold", name, n) for n in (16, 1024))] for name, what in names.items()]
    for name, what in (("decode", "decode a cookie"), ("signed_jar", "the signed jar's")):
        rows.append([what, ns(results, "cold", name), ""])
    return figures.table(["cold, ns", "n = 16", "n = 1024"], rows)


def primitives(results):
    rows = [
        ["base64url of 67 characters", ns(results, "primitive", "base64url-67")],
        ["SipHash-2-4-128 of 34 bytes, the tag", ns(results, "primitive", "siphash-2-4-128-34")],
        ["SipHash-2-4 of 16 bytes, the mask", ns(results, "primitive", "siphash-2-4-16")],
        ["together", figures.number(limit(results))],
        ["decode, with all checks", ns(results, "decode", "tokenpin")],
    ]
    return figures.table(["what decoding is made of", "ns"], rows)


def find(results):
    rows = []
    for n in (16, 1024, 65_536):
        alone, both = (results.all("find", name, n) for name in ("hash", "find"))
        look_up = statistics.median(b - a for a, b in zip(alone, both, strict=True))
        rows.append([str(n), ns(results, "find", "hash", n), figures.number(max(look_up, 0))])
    return figures.table(["find an account among", "its name's hash, ns", "look-up, ns"], rows)


def sealed_ids(results):
    """One id; and bodies, in megabytes a second."""
    kinds = {
        "packed": "`resp_` and 48 hexadecimal digits",
        "uuid": "a prefix and a UUID",
        "text": "any other",
    }
    ids = figures.table(
        ["an id of the form", "seal, ns", "open, ns"],
        [[text, ns(results, "id", "seal", kind), ns(results, "id", "open", kind)] for kind, text in kinds.items()],
    )

    def speed(function, body):
        return f"{1000 / results.ns('rewrite', function, body):,.0f}".replace(",", " ")

    bodies = {"text": "long text", "deltas": "events of deltas", "list": "a list of 5000 objects"}
    names = ("tokenpin", "serde_json", "simd_json", "regex", "memcpy")
    rows = [[text, *(speed(name, body) for name in names)] for body, text in bodies.items()]
    request = [speed(name, "request") for name in ("open_in_place", *names[1:-1])]
    rows.append(["a request with 2000 ids, in place", *request, ""])
    heads = ["MB/s", "tokenpin", "serde_json", "simd-json", "a regular expression", "a copy"]
    return f"{ids}\n\n" + figures.table(heads, rows)


def limit(results):
    names = ("base64url-67", "siphash-2-4-128-34", "siphash-2-4-16")
    return sum(results.ns("primitive", name) for name in names)


def growth(results):
    points = {
        (group, function): [
            (int(parameter), results.ns(group, function, parameter))
            for named, called, parameter in results.values
            if (named, called) == (group, function)
        ]
        for group, function in (
            *(("grow-select", fleet) for fleet in GROWTH),
            ("grow-cookies", "valid"),
            ("grow-ring", "last"),
        )
    }
    return {key: sorted(drawn) for key, drawn in points.items()}


def growth_table(points):
    fleets = [points["grow-select", fleet] for fleet in GROWTH]
    select = figures.table(
        ["slots", *(f"{name}, ns" for name in GROWTH.values())],
        [[str(row[0][0]), *(figures.number(value) for _, value in row)] for row in zip(*fleets, strict=True)],
    )
    rows = [[f"{count} cookies of our name", figures.number(value)] for count, value in points["grow-cookies", "valid"]]
    rows += [[f"{length} keys in the ring", figures.number(value)] for length, value in points["grow-ring", "last"]]
    return select, figures.table(["decide with", "ns"], rows)


def targets(results):
    """The targets, and whether this run reached them."""
    jumps = {n: results.ratio("jump", "paper", "tokenpin", n) for n in JUMPS}
    chains = {n: results.ratio("jump-chain", "paper", "tokenpin", n) for n in JUMPS}
    few = (8, 16, 64)
    over = max(results.ratio("keyed", "select", "jump", f"{k}-{n}") for k in (16, 36) for n in (16, 64))

    def over_pass(downs):
        return max(
            results.ratio(group, "tokenpin", "home-and-pass", f"{n}-{down}")
            for group in ("select-equal", "select-mixed")
            for n, down in FLEETS
            if n <= 16 and down in downs
        )

    large = (results.all("select-equal", "tokenpin", f"65536-{down}") for down in (25, 0))
    more = statistics.median(a - b for a, b in zip(*large, strict=True))

    def batch(*sizes):
        return min(
            results.ratio("batch", "scalar", "batch", name)
            for name in results.batches()
            if int(name.split("-")[0]) in sizes
        )

    jar, once = (results.ratio("decode", "signed_jar", who) for who in ("tokenpin", "once"))
    home, same = results.ns("decide", "home"), results.ns("grow-cookies", "valid", 1)
    found, hashed = (results.all("find", name, 16) for name in ("find", "hash"))
    look_up = statistics.median(a - b for a, b in zip(found, hashed, strict=True))
    rows = [
        ("jump, n = 8 to 64, times as fast as the paper's", 1.3, min(jumps[n] for n in few), True),
        ("the same where each call waits for the last", 1.3, min(chains[n] for n in few), True),
        ("jump, n = 1024, times as fast as the paper's", 1.6, jumps[1024], True),
        ("the same where each call waits for the last", 1.6, chains[1024], True),
        ("hash and select, all up, over hash and jump", 1.15, over, False),
        ("select among 64, 25 % down, over all up", 1.5, results.over_up(64, 25), False),
        ("select among 1024, 25 % down, over all up", 1.6, results.over_up(1024, 25), False),
        ("the same, 50 % down", 2.5, results.over_up(1024, 50), False),
        ("the same, mixed weights", 2.5, results.over_up(1024, 0, "mixed"), False),
        ("select among 65 536, 25 % down, ns more than all up", 100, more, False),
        ("select among 2 to 16, up to 75 % down, over home and a pass", 1.05, over_pass((0, 25, 50, 75)), False),
        ("the same, 90 % down", 1.1, over_pass((90,)), False),
        ("a signed jar's time over decoding a cookie", 3, jar, True),
        ("the same with name and scope hashed for each cookie", 3, once, True),
        ("look-up of a pin among 16 slots, ns", 20, max(look_up, 0), False),
        ("decision with a valid cookie, requests drawn at random, ns", 200, home, False),
        ("the same, one request over and over, ns", 200, same, False),
        ("batches over 2 to 16 slots, times as fast as one by one", 1.7, batch(2, 8, 16), True),
        ("the same over 64 slots", 1.7, batch(64), True),
        ("the same over 1024 slots", 1.7, batch(1024), True),
        ("the same over 65 536 slots", 1.7, batch(65_536), True),
    ]
    return figures.table(
        ["target", "wanted", "measured", "reached"],
        [
            [what, f"{'≥' if more else '≤'} {wanted:g}", figures.number(value)]
            + ["yes" if (value >= wanted if more else value <= wanted) else "no"]
            for what, wanted, value, more in rows
        ],
    )


def draw(results, points, folder):
    def row(label, colour, *names):
        value = results.ns(*names)
        return label, value, f"{figures.number(value)} ns", colour

    panels = [
        (
            "Jump consistent hash, 64 buckets",
            [
                row("tokenpin", 0, "jump", "tokenpin", 64),
                row("as in the paper", 1, "jump", "paper", 64),
                row("crate jumphash", 1, "jump", "jumphash", 64),
                row("crate jumpch", 1, "jump", "jumpch", 64),
            ],
        ),
        (
            "Select one of 16 tokens, all up",
            [
                row("tokenpin", 0, "select-equal", "tokenpin", "16-0"),
                row("plain rendezvous", 1, "select-equal", "rendezvous", "16-0"),
                row("Maglev table", 1, "select-equal", "maglev", "16-0"),
            ],
        ),
        (
            "The same with a quarter of them down",
            [
                row("tokenpin", 0, "select-equal", "tokenpin", "16-25"),
                row("plain rendezvous", 1, "select-equal", "rendezvous", "16-25"),
                row("Maglev table", 1, "select-equal", "maglev", "16-25"),
            ],
        ),
        (
            "From a key of 36 bytes to one of 16 tokens",
            [
                row("tokenpin", 0, "keyed", "select", "36-16"),
                row("Higress: fnv1a32 % n", 1, "keyed", "fnv1a", "36-16"),
            ],
        ),
        (
            "Check a signed cookie",
            [
                row("tokenpin", 0, "decode", "tokenpin"),
                row("crate cookie, signed jar", 1, "decode", "signed_jar"),
            ],
        ),
        (
            "A whole decision",
            [
                row("a consumer's name", 0, "decide", "consumer"),
                row("a valid cookie", 0, "decide", "home"),
                row("a new cookie", 0, "decide", "minted"),
            ],
        ),
    ]
    figures.bars(folder / "speed.svg", "Time of one call; shorter is better", panels)
    figures.lines(
        folder / "growth.svg",
        "How the time of a call grows",
        [
            [
                (
                    "select",
                    "slots",
                    [(name, points["grow-select", fleet]) for fleet, name in GROWTH.items()],
                )
            ],
            [
                ("decide", "cookies of our name", [("all valid", points["grow-cookies", "valid"])]),
                ("decide", "keys in the ring", [("the last key's", points["grow-ring", "last"])]),
            ],
        ],
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--criterion", type=pathlib.Path, required=True, help="criterion's folder")
    parser.add_argument("--rounds", type=int, required=True)
    parser.add_argument("--charts", type=pathlib.Path, required=True, help="a folder")
    parser.add_argument("--document", type=pathlib.Path, help="gets the tables")
    arguments = parser.parse_args()
    results = Results(arguments.criterion, arguments.rounds)
    points = growth(results)
    draw(results, points, arguments.charts)
    jump, select, batch, keyed, change, cookie = peers(results)
    slots, decide = growth_table(points)
    sections = {
        "targets": targets(results),
        "jump": jump,
        "select": f"{select}\n\n{change}",
        "batch": batch,
        "keyed": keyed,
        "cookie": f"{cookie}\n\n{primitives(results)}",
        "decide": f"{decisions(results)}\n\n{find(results)}",
        "ids": sealed_ids(results),
        "cold": cold(results),
        "growth": f"{slots}\n\n{decide}",
    }
    for name, text in sections.items():
        print(f"{text}\n")
        if arguments.document:
            figures.put_section(arguments.document, name, text)


if __name__ == "__main__":
    main()
