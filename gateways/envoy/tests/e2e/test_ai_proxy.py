"""Higress's ai-proxy itself behind the filter, with the configuration of the page about Higress.

Envoy takes many seconds to compile this plugin, so every test starts as few gateways as it can.
"""

import pytest
import stack
import test_higress
import tokenpin_twin as twin
from gateway import ACCOUNTS, credential
from provider import Provider
from test_higress import CONSUMER, EVENTS, create, page_settings, read
from ids import ids_in, opened, posted

pytestmark = pytest.mark.wasm

# The path of the plugin in its package, by the folder of `make ai-proxy`. The first is the image
# that Higress publishes. The second, built by others from a later source, picks tokens by the
# consumer.
PLUGINS = {"ai-proxy": "ai-proxy/2.0.0", "ai-proxy-affinity": "gpustack-ai-proxy/2.0.3-patched"}
COMPILING = 300.0  # seconds

# Only Higress's Envoy knows the marker of its interface. Everything else that it needs is in the
# interface 0.2.1. The length of the shorter name takes three bytes instead of one, so that nothing
# moves.
MARKER = b"\x19proxy_abi_version_0_2_100"
KNOWN_MARKER = b"\x97\x80\x00proxy_abi_version_0_2_1"


@pytest.fixture
def start(run, folder, gateways):
    """Starts a gateway with ai-proxy, behind the filter or without it.

    The provider is `openai` with the given fields.
    """

    def started(which, with_filter=True, **provider):
        (published,) = run.build.glob(f"{which}/lib/python3.*/site-packages/*/plugins/{PLUGINS[which]}/plugin.wasm")
        plugin = folder / f"{which}.wasm"
        module = published.read_bytes()
        assert MARKER in module
        plugin.write_bytes(module.replace(MARKER, KNOWN_MARKER))
        settings = {"provider": {"type": "openai", **provider}}
        entry = {"name": "ai-proxy", "typed_config": stack.wasm_filter(settings, "ai-proxy", str(plugin))}
        g = gateways()
        g.envoy.patience = COMPILING
        g.configure(behind=[entry], with_filter=with_filter)
        g.upstream.answer = Provider()
        g.start(page_settings(*ACCOUNTS) if with_filter else None)
        return g

    return started


@pytest.mark.parametrize("which", PLUGINS)
def test_behind_the_filter(start, which):
    g = start(which)
    # The client's own credentials never choose the account, and a session keeps its account.
    own = [(name, "Bearer " + credential("bravo")) for name in ("authorization", "x-authorization")]
    own += [("x-api-key", credential("bravo")), ("api-key", "mine")]
    served = set()
    for _ in range(12):
        _, answer = create(g, headers=own)
        request = g.upstream.last()
        assert request.values("authorization") == [f"Bearer {credential(answer.account)}".encode()]
        assert not any(request.values(name) for name in ("x-authorization", "x-api-key", "api-key"))
        assert g.send(headers=own, cookie=answer.cookie).account == answer.account
        assert not g.upstream.last().values("cookie")
        served.add(answer.account)
    assert served == set(ACCOUNTS)
    # Each id that comes back leads to its account, streamed or whole, in a body or in a path.
    for stream in (False, True):
        for _ in range(6):
            first = posted(g, {"input": "Hello.", "model": "gpt-5", "stream": stream})
            id = ids_in(first)[0]
            assert opened(id)[1] == first.account
            asked = {"previous_response_id": id, "input": "More.", "model": "gpt-5", "stream": stream}
            assert posted(g, asked).account == first.account
            found = read(g, id)
            assert (found.status, found.account) == (200, first.account)
    # The events that Higress's own cookie does not survive.
    for event in EVENTS:
        tally, sessions = test_higress.through(g, event)
        gone = sum(right == "alpha" for _, _, right in sessions)
        assert tally.wrong == 0
        assert tally.refused == (gone if event in ("removed", "failed", "failed, with failover") else 0)
        g.update(page_settings(*ACCOUNTS))


def test_it_takes_over_where_ai_proxy_picked_by_consumer(start):
    tokens = [credential(account) for account in ACCOUNTS]
    before = start("ai-proxy-affinity", with_filter=False, apiTokens=tokens)
    after = start("ai-proxy-affinity")
    for number in range(30):
        name = f"consumer-{number}"
        picked = [create(g, headers=[(CONSUMER, name)])[1].account for g in (before, after)]
        assert picked[0] == picked[1] == ACCOUNTS[twin.fnv1a32(name.encode()) % len(ACCOUNTS)]
