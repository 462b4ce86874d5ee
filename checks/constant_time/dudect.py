"""Judges whether the time to refuse a tag depends on which of its bytes are wrong.

    dudect.py PROGRAM VALUES SECONDS

The differences within one process are significant and say nothing: where its memory lies, which the
system draws at random, shifts the classes by up to a fifth of a cycle, in either direction. So the
program runs in many processes, and Student's t-test judges the mean of their differences.

Exits with 1 if it is not zero. A false alarm has a probability below 2e-7, for three pairs and two
kinds of tags.
"""

import subprocess
import sys
from itertools import combinations
from math import inf, sqrt
from statistics import mean, stdev

PROCESSES = 30
THRESHOLD = 7.5
CLASSES = ["first byte", "last byte", "everywhere"]


def main():
    program, values, seconds = sys.argv[1:]
    total, runs = 0, []
    for number in range(PROCESSES):
        command = [program, values, str(max(1, int(seconds) // PROCESSES)), str(number)]
        out = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        measurements, *means = map(float, out.split())
        total += int(measurements)
        runs.append(means)
        if number % 5 == 4:
            print(f"{number + 1} processes of {PROCESSES}, {total} measurements", flush=True)
    worst = 0
    for a, b in combinations(range(len(CLASSES)), 2):
        differences = [run[a] - run[b] for run in runs]
        spread, apart = stdev(differences), mean(differences)
        t = apart / (spread / sqrt(PROCESSES)) if spread else (inf if apart else 0)
        print(f"{CLASSES[a]} and {CLASSES[b]} wrong: {apart:+.3f} cycles, spread {spread:.3f}, t = {t:+.2f}")
        worst = max(worst, abs(t))
    print(f"the largest |t| is {worst:.1f}, the threshold {THRESHOLD}")
    sys.exit(worst >= THRESHOLD)


main()
