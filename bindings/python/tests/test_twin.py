"""Random and adversarial inputs: the package against the second implementation, tests/twin."""

import os
import random

import against_library as against
import library
import pytest
import report

SEED = int(os.environ.get("TOKENPIN_SEED", random.randrange(2**32)))
CASES = int(os.environ.get("TOKENPIN_CASES", 1500))
# The package's slots take no identity hash that is not an account's.
CHECKS = [part for part in against.CHECKS if part[0] is not against.check_draws]


class Report(report.Report):
    """Prints the first mismatch, without what would fill pages: the seed brings it back."""

    def check(self, what, twin, other, *inputs):
        if twin != other and not self.failed:
            print("TOKENPIN_SEED=%d: %s" % (SEED, what))
            for name, value in (("twin", twin), ("package", other), *(("with", value) for value in inputs)):
                print("  %s: %.1000r" % (name, value))
        return super().check(what, twin, other, *inputs)


@pytest.mark.parametrize("check,share", CHECKS, ids=[check.__name__ for check, _ in CHECKS])
def test_the_package_answers_as_the_twin_does(check, share):
    seen = Report(shown=0)
    check(seen, library.Library(), random.Random("%d %s" % (SEED, check.__name__)), int(CASES * share) + 1)
    assert (seen.failed, seen.passed > 0) == (0, True), "TOKENPIN_SEED=%d" % SEED


def test_what_the_twin_refuses_is_refused_with_the_same_status():
    seen = Report(shown=0)
    against.check_refused(seen, library.Library())
    against.check_bounds(seen, library.Library())
    assert (seen.failed, seen.passed > 200) == (0, True)
