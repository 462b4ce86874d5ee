"""Sealed ids in responses: bodies, headers, URLs."""

import json

import pytest
from provider import JSON
from upstream import answering, reply

from gateway import forge
from ids import ANTHROPIC, NATIVE, OTHER, posted, sealed


@pytest.mark.smoke
@pytest.mark.parametrize("http2", [False, True], ids=["http1", "http2"])
@pytest.mark.parametrize("method", ["POST", "HEAD"])
def test_headers_of_a_sealed_response(sealing, method, http2):
    g = sealing()
    body = json.dumps({"id": NATIVE}).encode()
    headers = [
        JSON,
        ("etag", '"strong"'),
        ("accept-ranges", "bytes"),
        ("content-md5", "x"),
        ("digest", "sha-256=x"),
        ("content-digest", "sha-256=:x:"),
        ("repr-digest", "sha-256=:x:"),
        ("location", f"/v1/responses/{NATIVE}"),
        ("content-location", f"https://api.example/v1/files/{OTHER}?after={NATIVE}"),
        ("operation-location", "/v1/other/x"),
        ("x-kept", NATIVE),
        ("content-length", str(len(body))),
    ]
    sent = b"" if method == "HEAD" else body
    g.upstream.answer = lambda request: reply(request, 200, headers, sent, length=False)
    answer = g.send(method, headers=[("accept-encoding", "gzip, br")], http2=http2)
    account = answer.account
    assert g.upstream.last().value("accept-encoding") == b"identity"
    gone = ["content-length", "etag", "accept-ranges", "content-md5", "digest", "content-digest"]
    assert [answer.values(name) for name in [*gone, "repr-digest"]] == [[]] * 7
    if method == "HEAD":
        assert answer.body == b"" and g.send(method, http2=http2).status == 200
        return
    assert json.loads(answer.body) == {"id": sealed(NATIVE, account)}
    assert answer.value("location") == f"/v1/responses/{sealed(NATIVE, account)}"
    assert answer.value("content-location") == f"https://api.example/v1/files/{OTHER}?after={NATIVE}"
    assert answer.value("operation-location") == "/v1/other/x" and answer.value("x-kept") == NATIVE


@pytest.mark.smoke
def test_what_is_not_sealed(sealing):
    """Bodies that are neither JSON nor events, files, parts of files, and empty bodies."""
    g = sealing()
    body = json.dumps({"id": NATIVE}).encode()
    marks = [("etag", '"x"'), ("accept-ranges", "bytes")]
    octets = ("content-type", "application/octet-stream")
    cases = [
        ("/v1/files/f/content", 200, [JSON], body),
        ("/v1/files/f/content/?x=1", 200, [JSON], body),
        ("/v1/messages/batches/b/results", 200, [JSON], body),
        ("/v1/responses", 206, [JSON, ("content-range", "bytes 0-9/99")], body),
        ("/v1/responses", 200, [octets], body),
        ("/v1/responses", 200, [("content-type", "text/html")], body),
        ("/v1/responses", 200, [("content-type", "application/jsonl")], body),
        ("/v1/models", 200, [JSON], body),
        ("/v1/chat/completions", 200, [JSON], body),
        ("/v1/responses", 304, marks, b""),
    ]
    for path, status, headers, text in cases:
        g.upstream.answer = answering(status, [*headers, *(marks if status != 304 else [])], text)
        answer = g.send("GET", path, headers=[("accept-encoding", "gzip")])
        what = (path, status, headers)
        asked = g.upstream.last().value("accept-encoding")
        assert asked == (b"identity" if path == "/v1/responses" else b"gzip"), what
        assert (answer.status, answer.body) == (status, text), what
        assert answer.value("etag") == '"x"' and answer.value("accept-ranges") == "bytes", what
        if status != 304:
            assert answer.value("content-length") == str(len(text)), what
    g.upstream.answer = lambda request: reply(request, 204, marks, b"", length=False)
    answer = g.send("GET")
    assert answer.status == 204 and answer.value("etag") == '"x"'
    # Compressed although the request did not accept it.
    g.upstream.answer = answering(200, [JSON, ("content-encoding", "x-y")], b"\x1f\x8b")
    with g.counting() as rose:
        assert g.send("GET").body == b"\x1f\x8b"
    assert rose["bodies_not_sealed"] == 1


@pytest.mark.smoke
def test_errors_and_weak_etags(sealing):
    g = sealing()
    body = json.dumps({"id": NATIVE, "error": {"message": NATIVE}}).encode()
    for status in (200, 201, 400, 404, 500):
        g.upstream.answer = answering(status, [JSON, ("etag", 'W/"weak"')], body)
        answer = g.send(cookie=forge("alpha"))
        # Values below `error` are text.
        expected = body.replace(NATIVE.encode(), sealed(NATIVE, "alpha").encode(), 1)
        assert (answer.status, answer.body) == (status, expected)
        assert answer.value("etag") == 'W/"weak"'


def test_locations(sealing):
    """Locations at the upstream lead to the gateway. Locations of other hosts stay unchanged."""
    rewritten = {"cluster": "upstream", "host_rewrite_literal": "api.example"}
    g = sealing(routes=[{"match": {"prefix": "/"}, "route": rewritten}])
    id = f"/v1/files/{OTHER}"
    for location, expected in {
        id: "/v1/files/{}",
        f"..{id}?after={OTHER}": "../v1/files/{0}?after={0}",
        f"https://api.example{id}": g.url + "/v1/files/{}",
        f"HTTP://API.example{id}#x": g.url + "/v1/files/{}#x",
        f"https://api.example:444{id}": None,
        f"https://blobs.example{id}?sig=x": None,
        f"//api.example{id}": None,
        "https://api.example": g.url,
        "/v1/files/x?next=https://api.example/v1/files": None,
        f"/v1/models/{OTHER}": None,
    }.items():
        g.upstream.answer = answering(201, [JSON, ("location", location)])
        answer = posted(g, {})
        sealed_ = expected and expected.format(sealed(OTHER, answer.account))
        assert answer.value("location") == (sealed_ or location)


def test_urls_lead_to_the_gateway(sealing):
    """A client requests the URL of a batch's results unchanged."""
    g = sealing(
        routes=[
            {
                "match": {"prefix": "/"},
                "route": {"cluster": "upstream", "host_rewrite_literal": "api.anthropic.com"},
            }
        ]
    )
    batch = "msgbatch_01HkcTjaV5uDC8jWR4ZsDV8d"
    body = {
        "id": batch,
        "results_url": f"https://api.anthropic.com/v1/messages/batches/{batch}/results",
    }
    g.upstream.answer = answering(200, [JSON], json.dumps(body).encode())
    answer = g.send("GET", "/v1/messages/batches", headers=[ANTHROPIC])
    got = json.loads(answer.body)
    assert got["id"] == sealed(batch, answer.account)
    assert got["results_url"] == f"{g.url}/v1/messages/batches/{got['id']}/results"
    read = g.send("GET", got["results_url"][len(g.url) :])
    assert read.account == answer.account
