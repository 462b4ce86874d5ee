"""Random configurations and requests: the filter decides as the second implementation does.

tests/twin/tokenpin_twin.py is written only from docs/. It takes no result from the library.
"""

import random
import time

import pytest
import tokenpin_twin as twin
from gateway import (
    CONSUMER,
    COOKIE,
    COOKIE_KEYS,
    KNOWN,
    NAMES,
    PLACEMENT_KEY,
    SESSION,
    forge,
    settings,
    token,
)

STATES = ["up", "draining", "down"]
ROLES = ["sign", "accept", "retire"]
STRATEGIES = ["jump", "rendezvous", "higress_fnv1a_modulo"]
POLICIES = ["fail_fast", "fallback_and_update", "fallback_without_update"]
PATHS = ["/v1/responses", "/v1/responses/resp_1", "/v1/chat/completions", "/v1/models", "/v1/files"]


class Draws(random.Random):
    def often(self):
        return self.random() < 0.7

    def seldom(self):
        return self.random() < 0.2


def draw_configuration(draw):
    """The same configuration for the filter and for the twin."""
    accounts = draw.sample(KNOWN, draw.choice([1, 2, 3, 3, 4, 4]))
    capacity = len(accounts) + draw.choice([0, 0, 1, 3])
    numbers = draw.sample(range(capacity), len(accounts))
    slots = [twin.Slot() for _ in range(capacity)]
    tokens = []
    for account, number in zip(accounts, numbers):
        state = draw.choice([0, 0, 1, 2])
        weight = draw.choice([65536, 65536, 32768, 1, 0])
        until = draw.choice([0, 0, 0, 1, 2**40])
        slots[number] = twin.Slot(account.encode(), weight, state, until)
        status = {"state": STATES[state], "weight": weight, "until": until}
        tokens.append(token(account, slot=number, **status))
    role = draw.choice([1, 2])
    ring = [twin.RingKey(1, COOKIE_KEYS[1], twin.SIGN)]
    if draw.often():
        ring.append(twin.RingKey(2, COOKIE_KEYS[2], role))
    config = twin.Config(slots, PLACEMENT_KEY, ring)
    config.strategy = draw.randrange(3)
    config.scope = draw.choice([b"", b"", b"openai"])
    config.cookie_name = None if draw.often() else b"__Host-pin"
    config.max_idle = draw.choice([0, 0, 1000])
    config.max_life = draw.choice([2592000, 5000, 0])
    config.max_age = draw.choice([None, None, 0, 2000])
    config.policy_existing, config.policy_new = draw.randrange(3), draw.randrange(3)
    for switch in (
        "combine_keys",
        "reject_bad_keys",
        "keyed_cookies",
        "mint_single",
        "prompt_cache",
    ):
        setattr(config, switch, draw.choice([False, True]))
    cookie = {"max_idle": config.max_idle, "max_life": config.max_life}
    cookie["max_age"] = "auto" if config.max_age is None else config.max_age
    if config.cookie_name:
        cookie["name"] = config.cookie_name.decode()
    return config, settings(
        tokens=tokens,
        capacity=capacity,
        cookie_keys=[
            {"id": key.key_id, "role": ROLES[key.role], "key": {"env": f"COOKIE_KEY_{key.key_id}"}} for key in ring
        ],
        strategy=STRATEGIES[config.strategy],
        scope=config.scope.decode() or None,
        cookie=cookie,
        policy_existing=POLICIES[config.policy_existing],
        policy_new=POLICIES[config.policy_new],
        combine_keys=config.combine_keys,
        reject_bad_keys=config.reject_bad_keys,
        keyed_cookies=config.keyed_cookies,
        mint_single=config.mint_single,
        prompt_cache=config.prompt_cache,
        carrier_header="x-pin",
        bodies=False,  # test_sealed_requests.py tests their contents
    )


def draw_value(draw, config, keys):
    """A cookie's value, usually a good one."""
    if draw.seldom():
        return draw.choice(["", "junk", "IA" + forge("alpha")[2:], forge("alpha")[:-1]])
    # No age is near a limit, because time passes during the test.
    age = draw.choice([0, 0, 300, 1500, 4000, 10000, 3000000, -200, -1000])
    idle = age if draw.often() else draw.choice([0, 100, 500, 700, 1500, -200, -1000])
    key = draw.choice(keys) if draw.seldom() or (keys and draw.often()) else None
    name = config.cookie_name or twin.default_name(config.scope)
    return forge(
        draw.choice(KNOWN),
        key=key,
        age=age,
        idle=idle,
        key_id=draw.choice([1, 1, 2]),
        name=COOKIE if draw.random() < 0.05 else name.decode(),
        scope=b"other" if draw.random() < 0.05 else config.scope,
    )


def draw_request(draw, config):
    """(twin's request, method, path, header fields)."""
    request = twin.Request(0, b"\1" * 16)
    method, path = draw.choice(["GET", "POST", "POST", "POST", "DELETE"]), draw.choice(PATHS)
    request.method, request.target = method.encode(), path.encode()
    headers = []
    names = [f"name-{n}" for n in range(5)]
    request.trusted = True
    for header, values in {
        CONSUMER: request.consumer_values,
        SESSION: request.session_values,
    }.items():
        if draw.random() < 0.4:
            count = draw.choice([1, 1, 1, 1, 1, 2])
            chosen = ["x" * 4097] if draw.random() < 0.05 else draw.choices([*names, ""], k=count)
            headers += [(header, value) for value in chosen]
            values += [value.encode() for value in chosen]
    consumer, session = (
        [value for value in values if value][:1] for values in (request.consumer_values, request.session_values)
    )
    keys = [twin.consumer_key(value) for value in consumer]
    keys += [twin.session_key(value) for value in session]
    if consumer and session:
        keys.append(twin.combined_key(consumer[0], session[0]))
    keys = keys or [twin.consumer_key(b"name-1")]
    name = (config.cookie_name or twin.default_name(config.scope)).decode()
    for _ in range(draw.choice([0, 1, 1, 1, 2, 3])):
        pairs = [f"{name}={draw_value(draw, config, keys)}" for _ in range(draw.choice([1, 1, 2]))]
        field = "; ".join(draw.sample([*pairs, "theme=dark"], len(pairs) + 1))
        headers.append(("cookie", field))
        request.cookies.append(field.encode())
    if draw.seldom():
        value = draw.choice(["", draw_value(draw, config, keys)])
        headers.append(("x-pin", value))
        request.carrier_value, request.carrier = value.encode(), True
    return request, method, path, headers


def described(decision):
    """The decision in the form of the debugging header, without the slot."""
    numbers = {name: getattr(decision, name) for name in NAMES}
    return {name: number if isinstance(number, str) else NAMES[name][number] for name, number in numbers.items()}


def check(g, config, request, answer, before, after):
    """Returns the difference from the twin's decision, at any time between `before` and `after`."""
    seen = {name: value for name, value in answer.decision.items() if name != "slot"}
    for now in range(before, after + 1):
        request.now = now
        decision = twin.decide(config, request)
        if described(decision) == seen:
            break
    else:
        return f"decided {answer.decision}, expected {described(decision)}"
    slot = answer.decision.get("slot")
    if (slot is None) != (decision.slot is None):
        return f"slot {slot}, expected {decision.slot}"
    if slot is None:
        return "" if answer.status == 503 else f"status {answer.status}, expected 503"
    slot = int(slot)
    random_id = decision.source in (twin.SOURCE_NONE, twin.SOURCE_STATELESS, twin.SOURCE_MINTED)
    if not random_id and slot != decision.slot:
        return f"slot {slot}, expected {decision.slot}"
    if not config.slots[slot].identity.decode() == answer.account:
        return f"slot {slot}, but the credential of {answer.account}"
    return check_cookie(config, request, decision, answer, slot, before, after)


def check_cookie(config, request, decision, answer, slot, before, after):
    name = config.cookie_name or twin.default_name(config.scope)
    lines, carrier_value = answer.values("set-cookie"), answer.values("x-pin")
    if decision.cookie is None:
        return "" if not lines and not carrier_value else f"an unexpected cookie: {lines} {carrier_value}"
    if [len(lines), len(carrier_value)] != ([0, 1] if decision.cookie.carrier else [1, 0]):
        return f"expected one answer: {lines} {carrier_value}"
    value = carrier_value[0] if carrier_value else lines[0].partition("=")[2].partition(";")[0]
    key, _ = twin.read_keys(config, request)
    limits = twin.Limits(0, 0, 0, 0)
    signing = [twin.signing_key(config.ring)]

    def opened(text):
        return twin.read_value(text, signing, name, config.scope, key, 2**32, limits, twin.TagBudget())

    verdict, made = opened(value.encode())
    _, expected = opened(decision.cookie.value)
    if verdict != twin.VALID:
        return f"its cookie has the verdict {verdict}"
    if made.pin != (config.slots[slot].id if made.id != expected.id else expected.pin):
        return "its cookie has another pin"
    # A fresh id is random; the twin's are all ones.
    fresh = expected.id == b"\1" * 16
    if (made.id == expected.id) == fresh or made.kind != expected.kind:
        return f"{made}, expected {expected}"
    for field in ("issued_at", "refreshed_at"):
        least, most = getattr(expected, field), getattr(expected, field)
        if before <= least <= after:
            least, most = before, after
        if not least <= getattr(made, field) <= most:
            return f"{field} of {made}, expected {expected}"
    if lines:
        seconds = decision.cookie.seconds
        ages = [seconds and seconds - passed for passed in range(after - before + 1)]
        allowed = [twin.set_cookie(name, value.encode(), age, config.attributes) for age in ages]
        if lines[0].encode() not in allowed:
            return f"{lines[0]}, expected {allowed[0]}"
    return ""


def run(gateway, configurations, requests):
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    draw = Draws(seed)
    g = gateway({})
    for _ in range(configurations):
        config, fields = draw_configuration(draw)
        g.update(fields)
        for _ in range(requests):
            request, method, path, headers = draw_request(draw, config)
            before = int(time.time() - 0.05)  # time(2) may be behind by a tick of the kernel's
            answer = g.send(method, path, headers=headers, body=b"", http2=draw.seldom())
            wrong = check(g, config, request, answer, before, int(time.time()))
            assert not wrong, f"{wrong}\n{config}\n{request}\n{headers}"


@pytest.mark.smoke
def test_a_few_random_requests(gateway):
    run(gateway, configurations=4, requests=60)


def test_many_random_requests(gateway):
    run(gateway, configurations=40, requests=80)
