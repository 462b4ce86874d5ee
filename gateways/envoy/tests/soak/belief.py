"""The knowledge that each replica can have at a moment: the oracle of the soak's promises.

Before a change, its author notes that the new state may hold from now on. When the change has taken
effect, its author notes that the old state holds no longer. In between a replica may be in either
state. A request is right if it was decided by a state that its replica can have been in while the
request was under way. Replicas learn cooldowns by themselves. The provider notes a cooldown before
it sends the status, and the client when it has the answer.
"""

import dataclasses
import itertools
import math
import threading

import tokenpin_twin as twin

EVER = math.inf
TICK = 0.05  # seconds; time(2) may be behind by a tick of the kernel's
KEPT = 60  # seconds; longer than any request is under way
STATES = ["up", "draining", "down"]


@dataclasses.dataclass
class Declared:
    """The state of a token in a file, and when a replica may act on it."""

    state: str
    weight: int
    since: float
    till: float = EVER


def spans(state, weight, until, since):
    """Returns the states that a file's entry declares, from the time when it may be applied."""
    found = [Declared(state, weight, since, until + TICK if until else EVER)]
    if until:
        found.append(Declared("up", weight, max(since, until - TICK)))
    return found


@dataclasses.dataclass
class Cooldown:
    state: str
    seconds: int
    since: float  # it may have begun
    till: float = EVER  # it is over
    sure_since: float = EVER
    sure_till: float = 0

    def seen(self, now, sure):
        """The client has the answer, so the filter has applied the cooldown."""
        self.till = int(now) + self.seconds + TICK
        if sure:
            self.sure_since = now
            self.sure_till = int(self.since - TICK) + self.seconds - TICK


class Generation:
    """One loaded configuration of one process."""

    def __init__(self, slots, ring, entries, now):
        self.slots = slots  # account names, None where vacant
        self.ring = ring
        self.since, self.till = now, EVER
        self.declared = {name: spans(*entry, now) for name, entry in entries.items()}
        self.cooldowns = {name: [] for name in entries}
        self.configs = {}

    def overlaps(self, begin, end):
        return self.since <= end and self.till >= begin

    def possible(self, account, begin, end):
        """The (state, weight) pairs that the token can have had between `begin` and `end`."""
        cooldowns = [c for c in self.cooldowns[account] if c.since <= end and c.till >= begin]
        sure = {c.state for c in cooldowns if c.sure_since <= begin and end <= c.sure_till}
        found = set()
        for each in self.declared[account]:
            if each.since > end or each.till < begin:
                continue
            if "down" in sure:
                found.add(("down", each.weight))
                continue
            found |= {(c.state, each.weight) for c in cooldowns}
            if not sure:
                found.add((each.state, each.weight))
        return found


class Belief:
    """The knowledge about one replica. Safe to use from any thread."""

    def __init__(self, placement_key):
        self.placement_key = placement_key
        self.lock = threading.Lock()
        self.generations = []

    def load(self, slots, ring, entries, now):
        """A configuration may take effect from now on."""
        with self.lock:
            self.generations.append(Generation(slots, ring, entries, now))

    def loaded(self, now):
        """Only the newest configuration decides from now on."""
        with self.lock:
            for each in self.generations[:-1]:
                each.till = min(each.till, now)
            self.generations = [each for each in self.generations if each.till > now - KEPT]

    def refused(self):
        with self.lock:
            self.generations.pop()

    def stopped(self, now):
        with self.lock:
            for each in self.generations:
                each.till = min(each.till, now)

    def declare(self, account, entry, now):
        """The file may be applied from now on. Returns the states that end when it is."""
        with self.lock:
            known = self.generations[-1].declared[account]
            before = list(known)
            known += spans(*entry, now)
            return before

    def declared(self, before, now):
        """The file is applied."""
        with self.lock:
            for each in before:
                each.till = min(each.till, now)

    def may_cool(self, account, state, seconds, begin, now):
        """A request that began at `begin` is about to get the status."""
        with self.lock:
            found = [each for each in self.generations if each.overlaps(begin, now)]
            made = []
            for each in found:
                if account in each.cooldowns:
                    made.append(Cooldown(state, seconds, now))
                    each.cooldowns[account].append(made[-1])
            return made

    def cooled(self, cooldowns, now, answered):
        with self.lock:
            for each in cooldowns:
                each.seen(now, sure=answered and len(cooldowns) == 1)

    def may_be_away(self, account, begin, end):
        """Returns whether the token can have been down or vacated between `begin` and `end`."""
        with self.lock:
            for each in self.generations:
                if not each.overlaps(begin, end):
                    continue
                if account not in each.slots:
                    return True
                if any(state == "down" for state, _ in each.possible(account, begin, end)):
                    return True
        return False

    def views(self, begin, end):
        """The configurations, with states, that can have decided between `begin` and `end`."""
        found = []
        with self.lock:
            for each in self.generations:
                if each.overlaps(begin, end):
                    sets = [[None] if name is None else sorted(each.possible(name, begin, end)) for name in each.slots]
                    found += [self.config(each, states) for states in itertools.product(*sets)]
        return found

    def config(self, generation, states):
        key = tuple(states)
        if key not in generation.configs:
            slots = [
                twin.Slot() if name is None else twin.Slot(name.encode(), status[1], STATES.index(status[0]))
                for name, status in zip(generation.slots, states)
            ]
            config = twin.Config(slots, self.placement_key, generation.ring)
            config.keyed_cookies = True
            generation.configs[key] = config
        return generation.configs[key]
