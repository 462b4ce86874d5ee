"""The first part: half of the sessions are anonymous with cookies, half are consumers'."""

import contextlib
import http.client
import math
from concurrent.futures import ThreadPoolExecutor

from sessions import CONSUMER_HEADER, WORKERS, Crowd, Tally
from stage import ADDED, WEIGHTS, Row, Stage, at_home, no_error, progress, settings

FALSE_ALARM = 1e-6


class WithCookies(Stage):
    @contextlib.contextmanager
    def crowd(self, urls):
        """Anonymous sessions and sessions of consumers, all with a conversation begun."""
        crowd = Crowd()
        try:
            progress(f"{2 * self.size.sessions} conversations begin")
            crowd.open(self.size.sessions, urls)
            crowd.open(self.size.sessions, urls, consumers=True)
            yield crowd
        finally:
            crowd.close()

    def phase_a(self):
        self.envoy.update(settings(group="stateless"))
        urls = [self.envoy.url]
        with self.crowd(urls) as crowd:
            progress("follow-ups, each with a token chosen at random")
            crowd.follow_up(self.size.follow_ups, urls)
            self.add("(a) a random token for every request", crowd.sessions)

    def phase_b(self):
        self.envoy.update(settings())
        urls = [self.envoy.url]
        with self.crowd(urls) as crowd:
            progress("follow-ups")
            crowd.follow_up(self.size.follow_ups, urls)
            anonymous, consumers = split(crowd.sessions)
            self.add("(b) all tokens up: anonymous", anonymous, "no error", no_error)
            self.add("(b) all tokens up: consumers", consumers, "no error", no_error)

    def phase_c(self):
        self.envoy.update(settings())
        urls = [self.envoy.url]
        with self.crowd(urls) as crowd:
            failed = busiest_account(crowd.sessions)
            progress(f"{failed} fails, and the operator takes it down")
            self.provider.control("POST", f"fail/{failed}")
            self.envoy.update(settings(down=failed))
            others = [session for session in crowd.sessions if session.home != failed]
            hit = [session for session in crowd.sessions if session.home == failed]
            progress(f"{2 * self.size.sessions} new conversations begin while it is down")
            anonymous = crowd.open(self.size.sessions, urls)
            consumers = crowd.open(self.size.sessions, urls, consumers=True)
            new = anonymous + consumers
            progress("follow-ups while it is down")
            crowd.follow_up(self.size.follow_ups, urls)
            self.add("(c) one token down: sessions on others", others, "no error", no_error)
            self.add("(c) one token down: new sessions", new, "no error", no_error)
            self.add("(c) one token down: sessions on it", hit)

            progress(f"{failed} recovers, and the operator puts it up")
            self.provider.control("POST", f"recover/{failed}")
            self.envoy.update(settings())
            crowd.forget_follow_ups()
            progress("follow-ups after its return")
            crowd.follow_up(self.size.follow_ups, urls)
            self.add("(c) token back: sessions on others", others, "no error", no_error)
            self.add("(c) token back: sessions on it", hit, "resume on it, no error", at_home)
            label = "(c) token back: begun meanwhile, "
            self.add(label + "anonymous", anonymous, "no error, none moves", at_home)
            # Selection has no history: they move to the token that serves them when all are up.
            self.add(label + "consumers", consumers)

    def phase_d(self):
        self.envoy.update(settings())
        urls = [self.envoy.url]
        with self.crowd(urls) as crowd:
            progress(f"{self.size.consumers} more consumers are placed")
            before = self.place_consumers()
            progress(f"{ADDED} fills the vacant slot")
            self.envoy.update(settings(added=True))
            after = self.place_consumers()
            progress("follow-ups")
            crowd.follow_up(self.size.follow_ups, urls)
            anonymous, consumers = split(crowd.sessions)
            self.add("(d) token added: anonymous", anonymous, "no error, none moves", at_home)
            self.add(
                "(d) token added: consumers",
                consumers,
                "404 only if moved to the new",
                lambda _: all(at_home_or_added(session) for session in consumers),
            )
        self.rows.append(share_row(before, after))
        self.envoy.update(settings(keyed_cookies=True))
        with contextlib.closing(Crowd()) as crowd:
            progress("the same for consumers who get a cookie too")
            consumers = crowd.open(self.size.sessions, urls, consumers=True)
            self.envoy.update(settings(added=True, keyed_cookies=True))
            crowd.follow_up(self.size.follow_ups, urls)
            label = "(d) token added: consumers with cookies"
            self.add(label, consumers, "no error, none moves", at_home)

    def place_consumers(self):
        """Returns the account that serves each of many consumers, by a plain stateful request."""

        def ask(worker):
            address = self.envoy.url.removeprefix("http://")
            connection = http.client.HTTPConnection(address, timeout=20)
            placed = {}
            for number in range(worker, self.size.consumers, WORKERS):
                consumer = f"reader-{number}"
                connection.request("GET", "/v1/files", headers={CONSUMER_HEADER: consumer})
                response = connection.getresponse()
                response.read()
                placed[consumer] = response.headers["x-demo-account"]
            connection.close()
            return placed

        with ThreadPoolExecutor(WORKERS) as pool:
            return {k: v for placed in pool.map(ask, range(WORKERS)) for k, v in placed.items()}

    def phase_e(self):
        self.envoy.update(settings())
        with self.crowd([self.envoy.url]) as crowd:
            progress("Envoy is restarted")
            self.envoy.stop()
            self.envoy.start(settings())
            progress("follow-ups")
            crowd.follow_up(self.size.follow_ups, [self.envoy.url])
            self.add("(e) Envoy restarted", crowd.sessions, "no error, none moves", at_home)

    def phase_f(self):
        self.envoy.update(settings())
        progress("a second Envoy starts")
        self.second_envoy.start(settings())
        urls = [self.envoy.url, self.second_envoy.url]
        with self.crowd(urls) as crowd:
            progress("follow-ups, alternating between the two")
            crowd.follow_up(self.size.follow_ups, urls)
            self.add("(f) two Envoys in turn", crowd.sessions, "no error, none moves", at_home)


def split(sessions):
    anonymous = [session for session in sessions if session.consumer is None]
    return anonymous, [session for session in sessions if session.consumer is not None]


def at_home_or_added(session):
    accounts = {account for _, account in session.seen}
    return accounts == {ADDED} or (accounts == {session.home} and all(status == 200 for status, _ in session.seen))


def busiest_account(sessions):
    """The account with the most sessions of the kind that it has fewer of."""
    anonymous, consumers = ([s.home for s in kind] for kind in split(sessions))
    return max(WEIGHTS, key=lambda account: min(anonymous.count(account), consumers.count(account)))


def share_row(before, after):
    """Consumers without a cookie move by the new token's share, and only to the new token."""
    total = len(before)
    movers = [consumer for consumer in before if before[consumer] != after[consumer]]
    share = WEIGHTS[ADDED] / sum(WEIGHTS.values())
    tolerance = binomial_tolerance(total, share)
    strays = sum(after[consumer] != ADDED for consumer in movers)
    measured = len(movers) / total
    promise = f"{share:.1%} ± {tolerance / total:.1%} move, to the new"
    return Row(
        f"(d) token added: {measured:.1%} of consumers moved",
        Tally(total, total, accounts=set(after.values()), moved=len(movers)),
        promise,
        strays == 0 and abs(len(movers) - total * share) <= tolerance,
    )


def binomial_tolerance(n, p):
    """The smallest deviation from n·p that chance exceeds with less than FALSE_ALARM."""
    log_odds = math.log(p), math.log1p(-p)
    mean = n * p
    tail = 0.0
    far_first = sorted(range(n + 1), key=lambda k: -abs(k - mean))
    for k in far_first:
        choose = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
        tail += math.exp(choose + k * log_odds[0] + (n - k) * log_odds[1])
        if tail >= FALSE_ALARM:
            return abs(k - mean)
    raise AssertionError("the probabilities of all outcomes sum to 1")
