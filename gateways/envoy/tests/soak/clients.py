"""Clients of the soak: sessions that must stay on their accounts, and hostile requests."""

import collections
import contextlib
import http.client
import json
import random
import re
import threading
import time
import types

import stack
import tokenpin_twin as twin
from gateway import (
    CONSUMER,
    COOKIE,
    COOKIE_KEYS,
    NAMES,
    SESSION,
    Gateway,
    forge,
    opened,
    received,
)
from provider import EVIL, OTHERS, TAG
from test_hostile import METHODS, REQUESTS, TARGETS, head
from test_random import described

CARRIER = "x-pin"
EXISTING = "x-existing"
USABLE = ("valid", "refresh_due")
KINDS = [
    ("anonymous, cookie", None, "cookie"),
    ("anonymous, carrier", None, "carrier"),
    ("consumer, cookie", CONSUMER, "cookie"),
    ("consumer, no cookie", CONSUMER, None),
    ("session key, cookie", SESSION, "cookie"),
    ("session key, no cookie", SESSION, None),
    ("sealed ids, nothing else", None, "ids"),
    ("sealed ids, consumer", CONSUMER, "ids"),
    ("sealed ids, session key", SESSION, "ids"),
]
SEALED_ROUTE = "/sealed"  # whose ids are sealed; the others are only looked at
PATH_KEY, PREVIOUS_KEY = 0, 6  # numbers of the table of ids
SEALED = re.compile(rb"resp_[A-Za-z0-9_-]+tp0")


def named(verdict, existing, sealed, account=None):
    """The verdicts for the ids of a request, in the form of the second implementation."""
    return types.SimpleNamespace(
        verdict=verdict,
        keys=[twin.NO_ID_KEY, twin.NO_ID_KEY],
        refused=False,
        unreadable=False,
        existing=existing,
        account=account,
        sealed=sealed,
    )


def sealing_key(id):
    """The id of the key that sealed the id."""
    return twin.recognise(id.encode())[2][-17]


class Replica(Gateway):
    """One of the Envoys, with the belief about it and the observations of its clients."""

    def __init__(self, folder, module_folder, environment, provider, belief):
        super().__init__(folder, module_folder, environment, provider.server)
        self.belief = belief
        self.in_rotation = False
        self.in_flight = 0
        self.life = 0  # the number of starts
        self.downtimes = []  # [begin, end] in which requests may go unanswered
        self.tallies = collections.defaultdict(collections.Counter)  # by life
        self.lock = threading.Lock()

    def count(self, life, names):
        with self.lock:
            self.tallies[life].update(names)

    def may_be_stopped(self, begin, end):
        return any(since <= end and till >= begin for since, till in self.downtimes)


class World:
    """The state that all clients share."""

    def __init__(self, replicas, provider, seed, fail):
        self.replicas = replicas
        self.provider = provider
        self.seed = seed
        self.fail = fail
        self.stop = threading.Event()
        self.live = {}  # session -> key id of its cookie
        self.cookies = collections.deque(maxlen=300)  # (key, value) that clients got
        self.counts = collections.Counter()
        self.lock = threading.Lock()
        self.retired = None  # the id of a cookie key that is about to be dropped
        self.live_ids = {}  # session -> key id of the id that it follows up
        self.retired_ids = None  # the same of a key of ids

    def count(self, *names):
        with self.lock:
            self.counts.update(names)

    @contextlib.contextmanager
    def replica(self, draw, other_than=None):
        """A replica in rotation. It is not stopped politely before the request has ended."""
        while True:
            ready = [each for each in self.replicas if each.in_rotation and each is not other_than]
            ready = ready or [each for each in self.replicas if each.in_rotation]
            chosen = draw.choice(ready)
            with chosen.lock:
                if chosen.in_rotation:
                    chosen.in_flight += 1
                    break
        try:
            yield chosen
        finally:
            with chosen.lock:
                chosen.in_flight -= 1

    def tally(self, replica, life, trail, answer):
        """Counts the same events as the filter must have counted."""
        decision = {name: value for name, value in answer.decision.items() if name in NAMES}
        names = [f"{name}_{value}" for name, value in decision.items()]
        outcome, retried = decision.get("outcome"), len(trail.tries) == 2
        if retried:
            # The first try made a decision of the same kind.
            first = {**decision, "outcome": "placed" if outcome == "retried" else outcome}
            names += [f"{name}_{value}" for name, value in first.items()]
            names.append("retries")
        if answer.cookie or answer.value(CARRIER):
            names.append("cookies_set")
        replica.count(life, names)
        # Only a session that is re-pinned keeps its outcome when it moves.
        if outcome != "repinned" and retried != (outcome == "retried"):
            self.fail("explained", f"tries {trail.tries}, but {answer.decision}")


class Session:
    def __init__(self, number, kind, draw):
        self.name, header, self.jar = kind
        self.headers = []
        self.key = None
        if header:
            name = f"{header}-{number}"
            self.headers.append((header, name))
            make = twin.consumer_key if header == CONSUMER else twin.session_key
            self.key = make(name.encode())
        self.cookie = None
        self.opened = None  # the contents of the cookie
        self.account = None  # which holds the session's state
        self.state = None  # the id of the last response
        self.last = None  # the replica
        self.path = SEALED_ROUTE if self.jar == "ids" else ""
        self.turns = 1 + int(draw.expovariate(1 / 25))
        self.moved = 0


class Worker:
    """Holds many sessions, and sends one request at a time."""

    def __init__(self, world, number, workers, rate, sessions):
        self.world = world
        self.number = number
        self.stride = workers
        self.interval = 1 / rate
        self.size = sessions
        self.draw = random.Random(f"{world.seed} client {number}")
        self.begun = 0
        self.sessions = []
        self.connections = {}

    def run(self):
        due = time.monotonic()
        while not self.world.stop.is_set():
            due = max(due + self.interval, time.monotonic() - 1)
            time.sleep(max(0, due - time.monotonic()))
            self.turn()
        for connection, _ in self.connections.values():
            connection.close()

    def turn(self):
        if len(self.sessions) < self.size and self.draw.random() < 0.3 or not self.sessions:
            number = self.begun * self.stride + self.number
            self.begun += 1
            self.sessions.append(Session(number, self.draw.choice(KINDS), self.draw))
            self.world.count("sessions", self.sessions[-1].name)
        session = self.draw.choice(self.sessions)
        expired = session.opened and session.opened.key_id == self.world.retired
        key_id = self.world.live_ids.get(session)
        expired = expired or (key_id is not None and key_id == self.world.retired_ids)
        if session.turns <= 0 or expired:
            self.sessions.remove(session)
            self.world.live.pop(session, None)
            self.world.live_ids.pop(session, None)
            self.world.count("expired" if expired else "ended")
            return
        session.turns -= 1
        self.send(session, *self.plan(session))

    def plan(self, session):
        """Returns (method, path, existing, body); mostly a follow-up if the session has state."""
        root = f"{session.path}/v1"
        new = {"input": "Hello.", "stream": self.draw.random() < 0.3}
        if session.state is None or self.draw.random() < 0.05:
            return "POST", f"{root}/responses", False, new
        chance = self.draw.random()
        if chance < 0.05:
            return "POST", f"{root}/chat/completions", False, {"input": "Hello."}
        if chance < 0.45:
            return "GET", f"{root}/responses/{session.state}", True, None
        # The filter itself sees that the body names state.
        body = {**new, "previous_response_id": session.state}
        return "POST", f"{root}/responses", chance < 0.75, body

    def ids(self, session, path, body):
        """The ids that the filter finds. Without sealed ids it looks into bodies only."""
        follows = body is not None and "previous_response_id" in body
        if session.jar != "ids":
            return None if body is None else named("plain" if follows else "none", follows, False)
        sealed = "/responses" in path
        if body is not None and not follows:
            return named("none", False, sealed)
        pin = twin.identity_hash(session.account.encode())
        key = PREVIOUS_KEY if follows else PATH_KEY
        return named("sealed", True, sealed, (pin, key))

    def send(self, session, method, path, existing, body):
        headers = list(session.headers)
        cookies = OTHERS
        if session.jar == "carrier":
            headers.append((CARRIER, session.cookie or ""))
        elif session.cookie:
            first, second = OTHERS.split(b"; ")
            pair = f"{COOKIE}={session.cookie}".encode()
            pairs = [first, second]
            pairs.insert(self.draw.randrange(3), pair)
            cookies = b"; ".join(pairs)
        headers.append(("cookie", cookies))
        if existing and method == "POST" and session.jar != "ids":
            headers.append((EXISTING, "true"))
        data = None if body is None else json.dumps(body).encode()
        for _ in range(100):
            with self.world.replica(self.draw, session.last) as replica:
                life = replica.life
                trail = self.world.provider.trail(replica.belief, session=True)
                answer = self.exchange(replica, method, path, [(TAG, trail.number), *headers], data)
                now = self.world.provider.done(trail, answer is not None)
            session.last = replica
            self.world.count("requests")
            if answer is not None and (answer.decision or trail.tries):
                self.world.tally(replica, life, trail, answer)
                ids = self.ids(session, path, body)
                self.judge(session, replica, trail, now, method, path, existing, cookies, ids, answer)
                return
            # No answer, or Envoy's own.
            if not replica.may_be_stopped(trail.begin, now):
                seen = "none" if answer is None else f"{answer.status} {answer.body!r}"
                self.world.fail("explained", f"{replica.folder.name} was up, its answer: {seen}")
            self.world.count("stopped")
            time.sleep(0.02)

    def exchange(self, replica, method, path, headers, body):
        connection, life = self.connections.get(replica, (None, None))
        if life != replica.life:
            if connection is not None:
                connection.close()
            connection = http.client.HTTPConnection(stack.LOOPBACK, replica.envoy.port, timeout=stack.PATIENCE)
            self.connections[replica] = connection, replica.life
        try:
            connection.putrequest(method, path, skip_accept_encoding=True)
            for name, value in headers:
                connection.putheader(name, value)
            if body is not None:
                connection.putheader("content-length", len(body))
            connection.endheaders(body)
            response = connection.getresponse()
            pairs = [(name.lower(), value) for name, value in response.getheaders()]
            return received(response.status, pairs, response.read())
        except (OSError, http.client.HTTPException):
            connection.close()
            del self.connections[replica]
            return None

    def judge(self, session, replica, trail, now, method, path, existing, cookies, ids, answer):
        world = self.world
        found = f"{session.name} at {replica.folder.name}: {method} {path} "
        found += f"existing={existing}: {answer.status} {answer.account} {answer.decision}"
        status, state = answer.status, session.state
        follow_up = state is not None and (existing or method == "POST")
        if session.jar == "ids":
            follow_up = ids.existing  # a new response may be on any account
        stateless = answer.decision.get("source") == "stateless"
        made = self.read_cookie(session, trail, answer, found)

        # The second implementation decides the same by a view that the replica can have had.
        request = twin.Request(int(trail.begin), made.id if made else b"\1" * 16)
        request.method, request.target = method.encode(), path.encode()
        request.existing = existing
        request.ids = ids
        request.trusted = True
        for name, value in session.headers:
            values = request.consumer_values if name == CONSUMER else request.session_values
            values.append(value.encode())
        request.cookies = [cookies]
        if session.jar == "carrier":
            request.carrier_value, request.carrier = (session.cookie or "").encode(), True
        begin, end = trail.begin, trail.tries[0].at if trail.tries else now
        if len(trail.tries) == 2:
            begin, end = trail.tries[0].at, trail.tries[1].at
        views = replica.belief.views(begin, end)
        world.count(f"views {min(len(views), 3)}")
        if not any(self.agrees(view, request, trail, answer, made) for view in views):
            slots = [[(s.identity, s.state, s.weight) for s in view.slots] for view in views]
            world.fail("explained", f"{found}; not so by any of {slots}, tries {trail.tries}")

        # The client got the answer of the last account, or the filter's refusal.
        last = trail.tries[-1] if trail.tries else None
        if last is not None:
            if (status, answer.account) != (last.status, last.account):
                world.fail("explained", f"{found}; but the provider: {last}")
        else:
            code = {"rejected": "session_unavailable", "none": "no_account_available"}
            wanted = (503, code.get(answer.outcome, "?"))
            if answer.decision.get("source") == "id" and answer.decision["pin_state"] == "gone":
                wanted = (404, "not_found")
                if method == "POST":
                    wanted = (400, "previous_response_not_found")
            if status != wanted[0] or wanted[1].encode() not in answer.body:
                world.fail("explained", f"{found}; and no account was asked")
        world.count(f"status {status}")
        if session.cookie and not stateless and answer.decision["verdict"] not in USABLE:
            world.fail("cookies", f"{found}; a cookie of key {session.opened.key_id}")

        # A session with state moves only from a token that is down or gone.
        if follow_up and not stateless:
            world.count("follow-ups")
            elsewhere = last is not None and last.account != session.account
            if elsewhere or status in (400, 404, 503):
                last_status = last.status if last is not None else None
                self.moved(session, replica, begin, end, elsewhere, status, last_status, found)
        if made:
            self.take_cookie(session, made, answer)
        if stateless:
            return
        if session.jar == "ids":
            # No state is lost: a refused id works again when its account is back.
            if status in (400, 404, 503) and self.draw.random() < 0.1:
                self.follow(session, None, None)
        elif status == 404 or status == 503 and self.draw.random() < 0.3:
            session.state = None
        if status == 200 and method == "POST":
            self.follow(session, self.id_in(answer.body, session.jar == "ids"), answer.account)
            if session.jar == "ids":
                self.check_seal(session, found)

    def id_in(self, body, sealed):
        """The id in an answer or in the events of a stream."""
        if sealed:
            return SEALED.search(body)[0].decode()
        return json.loads(body[body.index(b"{") :].splitlines()[0])["id"]

    def follow(self, session, state, account):
        session.state, session.account = state, account
        self.world.live_ids.pop(session, None)
        if state is not None and session.jar == "ids":
            self.world.live_ids[session] = sealing_key(state)

    def check_seal(self, session, found):
        key_id = sealing_key(session.state)
        ring = [twin.RingKey(key_id, COOKIE_KEYS[key_id], twin.SIGN)]
        verdict, _, pin = twin.open_id(ring, b"", b"", session.state.encode())
        if verdict != "sealed" or pin != twin.identity_hash(session.account.encode()):
            self.world.fail("sealed", f"{found}; its id {session.state} is {verdict}")

    def moved(self, session, replica, begin, end, elsewhere, status, last_status, found):
        world = self.world
        what = "moved" if elsewhere else "refused"
        if session.jar == "ids" and (elsewhere or last_status == 404):
            world.fail("sealed", f"{found}; {what}, and the state is on {session.account}")
        elif session.jar == "ids":
            away = replica.belief.may_be_away(session.account, begin, end)
            world.count(f"{status} sealed away")
            if not away:
                world.fail("sealed", f"{found}; refused, and {session.account} was there")
        elif status == 404 and not elsewhere:
            world.fail("stay", f"{found}; the state is on {session.account}")
        elif session.jar is None:
            # Selection decides its account, which was checked above.
            world.count(f"{what} by selection", f"{status} by selection")
        elif replica.belief.may_be_away(session.account, begin, end):
            world.count(what, f"{status} away")
        else:
            world.fail("stay", f"{found}; {what}, and {session.account} was there")

    def agrees(self, view, request, trail, answer, made):
        """Returns whether the second implementation decides the same by this view."""
        tried = trail.tries[0].account if len(trail.tries) == 2 else None
        names = [slot.identity for slot in view.slots]
        request.tried = []
        if tried is not None:
            if tried.encode() not in names:
                return False
            request.tried = [names.index(tried.encode())]
        decision = twin.decide(view, request)
        seen = {name: value for name, value in answer.decision.items() if name != "slot"}
        if described(decision) != seen:
            return False
        slot = answer.decision.get("slot")
        if slot is None or decision.slot is None:
            return slot is None and decision.slot is None
        slot = int(slot)
        if names[slot] != trail.tries[-1].account.encode():
            return False
        if answer.status == 200 and (made is not None) != (decision.cookie is not None):
            return False
        if decision.source == twin.SOURCE_STATELESS or (decision.source == twin.SOURCE_MINTED and made is None):
            # By a random number that no answer shows.
            return slot in twin.candidates_of(view.slots, True, request.now, request.tried)
        return slot == decision.slot

    def read_cookie(self, session, trail, answer, found):
        """Returns the contents of the cookie that came back, None without one."""
        fail = self.world.fail
        if trail.tries:
            theirs = sum(value.startswith("up=1") for value in answer.values("set-cookie"))
            if theirs != trail.tries[-1].evil:
                fail("provider", f"{found}; {theirs} of the provider's cookies")
        if EVIL in str(answer.headers):
            fail("provider", f"{found}; the provider's value of our cookie")
        value = answer.value(CARRIER) if session.jar == "carrier" else answer.cookie
        if (answer.value(CARRIER) is not None) != (session.jar == "carrier" and value is not None):
            fail("provider", f"{found}; {CARRIER}: {answer.value(CARRIER)}")
        if value is None:
            return None
        try:
            key_id = twin.unbase64url(value.encode())[1]
            made, _ = opened(value, key=session.key, key_id=key_id)
        except (AssertionError, KeyError, TypeError) as error:
            fail("cookies", f"{found}; its cookie is no good: {error!r}")
            return None
        before = session.opened
        if before and (made.id, made.issued_at) != (before.id, before.issued_at):
            fail("cookies", f"{found}; a cookie of another session: {made}, was {before}")
        if answer.outcome in ("placed", "retried", "repinned"):
            if made.pin != twin.identity_hash((answer.account or "").encode()):
                fail("cookies", f"{found}; its cookie has another pin")
        elif before and made.pin != before.pin:
            fail("cookies", f"{found}; its cookie has changed its pin")
        self.world.cookies.append((session.key, value))
        return made

    def take_cookie(self, session, made, answer):
        if session.jar in (None, "ids"):
            return
        session.cookie = answer.value(CARRIER) if session.jar == "carrier" else answer.cookie
        session.opened = made
        self.world.live[session] = made.key_id


class Attacker:
    """Sends requests that no client sends by accident to a replica in rotation."""

    def __init__(self, world, number, rate):
        self.world = world
        self.interval = 1 / rate
        self.draw = random.Random(f"{world.seed} attacker {number}")
        self.moves = [
            self.of_the_table,
            self.of_the_table,
            self.target,
            self.method,
            self.noise,
            self.forged,
            self.forged,
            self.transplanted,
            self.replayed,
            self.other_scope,
        ]

    def run(self):
        while not self.world.stop.is_set():
            self.draw.choice(self.moves)()
            self.world.stop.wait(self.interval)

    def send(self, fields, method="GET", target="/v1/files"):
        """Returns the answer, None without one."""
        with self.world.replica(self.draw) as replica:
            life = replica.life
            trail = self.world.provider.trail(replica.belief, session=False)
            fields = [(TAG, str(trail.number)), *fields]
            answer = None
            with contextlib.suppress(OSError):
                if self.draw.random() < 0.3:
                    lower = [(name.lower(), value) for name, value in fields]
                    (answer,) = replica.multiplex([(":path", target), *lower])
                else:
                    answer = replica.raw(head(method, target, fields))
            now = self.world.provider.done(trail, answer is not None)
            self.world.count("hostile")
            if answer is None:
                self.world.count("hostile unanswered")
                replica.count(life, ["unanswered"])
                if not replica.envoy.process.alive() and not replica.may_be_stopped(trail.begin, now):
                    self.world.fail("alive", f"{replica.folder.name} is dead after {fields}"[:400])
                return None
            self.world.count(f"hostile {answer.status}")
            self.world.tally(replica, life, trail, answer)
            if answer.status >= 500 and not answer.decision:
                if not replica.may_be_stopped(trail.begin, now):
                    seen = f"{answer.status} {answer.body!r} to {fields}"
                    self.world.fail("explained", seen[:400])
            return answer

    def refused(self, what, fields, **options):
        """Sends a cookie that the filter must not accept."""
        answer = self.send(fields, **options)
        if answer is not None and answer.decision.get("verdict") in USABLE:
            self.world.fail("forged", f"{what}: {answer.decision} for {fields}")

    def cookie(self):
        """(key, value) of a client's cookie; of the provider's while there is none."""
        cookies = self.world.cookies
        return self.draw.choice(cookies) if cookies else (None, EVIL)

    def of_the_table(self):
        self.send(REQUESTS[self.draw.choice(list(REQUESTS))])

    def target(self):
        target = self.draw.choice(list(TARGETS.values()))
        self.send([("content-length", "0")], "POST", target)

    def method(self):
        self.send([], self.draw.choice(METHODS))

    def noise(self):
        pieces = [";", "; ", "=", " ", "\t", '"', ",", "a", COOKIE, f"{COOKIE}=", "\xe9", "\x01"]
        pieces += [self.cookie()[1], EVIL, "A" * 5000]
        field = "".join(self.draw.choices(pieces, k=self.draw.randrange(1, 30)))
        fields = [("cookie", field), (CARRIER, self.draw.choice(pieces))]
        self.send(self.draw.sample(fields, self.draw.choice([1, 2])))

    def forged(self):
        """A cookie with another character, a wrong length or another tail, or the provider's."""
        _, value = self.cookie()
        place = self.draw.randrange(len(value))
        other = self.draw.choice([c for c in twin.ALPHABET.decode() if c != value[place]])
        made = self.draw.choice(
            [
                value[:place] + other + value[place + 1 :],
                value[:place],
                value + other,
                value[:34] + self.cookie()[1][34:] if value != EVIL else EVIL,
                EVIL,
            ]
        )
        if made == value or any(made == each for _, each in list(self.world.cookies)):
            return
        many = self.draw.choice([1, 1, 2, 70])
        self.refused("forged", [("cookie", "; ".join([f"{COOKIE}={made}"] * many))])

    def transplanted(self):
        """A keyed session's cookie under another key, an anonymous one under a key."""
        key, value = self.cookie()
        name = self.draw.choice([CONSUMER, SESSION])
        self.refused("transplanted", [(name, "mallory"), ("cookie", f"{COOKIE}={value}")])
        if key is not None:
            self.refused("transplanted", [("cookie", f"{COOKIE}={value}")])

    def replayed(self):
        """An anonymous cookie is a bearer value. Sent again, it must not disturb its owner."""
        key, value = self.cookie()
        if key is None:
            self.send([("cookie", f"{COOKIE}={value}"), (CARRIER, value)])

    def other_scope(self):
        """A tenant's cookie without the tenant, and another cookie under a tenant's name."""
        tenant = f"tenant-{self.draw.randrange(5)}"
        name = twin.default_name(b"\0" + tenant.encode()).decode()
        key_id = self.draw.choice(list(COOKIE_KEYS))
        theirs = forge("alpha", key_id=key_id, name=name, scope=b"\0" + tenant.encode())
        self.refused("other scope", [("cookie", f"{COOKIE}={theirs}")])
        _, value = self.cookie()
        self.refused("other scope", [("x-tenant", tenant), ("cookie", f"{name}={value}")])
        self.send([("x-tenant", tenant), ("cookie", f"{name}={theirs}; {COOKIE}={value}")])
