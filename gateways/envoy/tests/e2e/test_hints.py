"""Parallel first requests of one client, on connections to both workers."""

import pytest
from gateway import client, forge, opened, settings

PARALLEL = 24


def begin_in_parallel(g, headers=(), clients=None):
    """The accounts and the ids that parallel first requests get, each on its own connection."""

    def begin(number):
        with client() as own:
            return g.send(headers=headers, via=own)

    answers = g.parallel(PARALLEL, begin)
    connections = [g.envoy.stat(f"listener.127.0.0.1_0.worker_{worker}.downstream_cx_total") for worker in (0, 1)]
    # The chance of that is 2^-23 for each call, and then the test would prove nothing.
    assert all(connections), f"one worker had no connection: {connections}"
    return answers


def ids(answers):
    return {opened(answer.cookie)[0].id for answer in answers}


@pytest.mark.smoke
def test_without_a_hint_they_differ(gateway):
    answers = begin_in_parallel(gateway())
    assert len(ids(answers)) == PARALLEL


@pytest.mark.smoke
def test_a_header_makes_them_agree(gateway):
    g = gateway(settings(id_hint={"header": "x-client"}))
    groups = [begin_in_parallel(g, headers=[("x-client", name)]) for name in ("one", "two")]
    for answers in groups:
        assert len(ids(answers)) == 1
        assert len({answer.account for answer in answers}) == 1
    assert ids(groups[0]) != ids(groups[1])
    assert len(ids(begin_in_parallel(g))) == PARALLEL, "without the header there is no hint"
    # A cookie counts before the hint.
    assert g.send(headers=[("x-client", "one")], cookie=forge("alpha")).account == "alpha"


@pytest.mark.smoke
def test_a_connection_makes_them_agree(gateway):
    g = gateway(settings(id_hint={"connection": True}))

    one, two = [g.multiplex(*[[]] * PARALLEL) for _ in range(2)]
    assert g.envoy.stat("http.gateway.downstream_cx_http2_total") == 2
    assert len(ids(one)) == 1 and len(ids(two)) == 1
    assert ids(one) != ids(two)
    assert len({answer.account for answer in one}) == 1
    assert len(ids(begin_in_parallel(g))) == PARALLEL
