"""Counts what passed, keeps the first mismatches, and counts which cases were reached."""

import collections


class Report:
    def __init__(self, shown=10):
        self.passed = 0
        self.failed = 0
        self.shown = shown
        self.reached = collections.Counter()

    def check(self, what, twin, other, *inputs):
        """The inputs are printed with a mismatch, so that it can be replayed by hand."""
        if twin == other:
            self.passed += 1
            return True
        self.failed += 1
        if self.failed <= self.shown:
            print("MISMATCH %d: %s" % (self.failed, what))
            print("  twin:  %r" % (twin,))
            print("  other: %r" % (other,))
            for value in inputs:
                print("  with:  %r" % (value,))
        return False

    def reach(self, group, name):
        self.reached[group, name] += 1

    def check_reached(self, group, names):
        """Prints the counters of a group; a name that was never reached is a failure."""
        counts = ["%s %d" % (name, self.reached[group, name]) for name in names]
        print("reached: %-10s %s" % (group, ", ".join(counts)))
        for name in names:
            self.check("%s %s is reached" % (group, name), True, self.reached[group, name] > 0)
