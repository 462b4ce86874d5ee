"""Bodies: those that nginx keeps in files, bounds, compresses, or passes as they come."""

import gzip
import json
import time

import pytest
import stack
from asking import NATIVE, sealed
from gateway import client, encoded, forge, settings
from provider import JSON, Provider
from upstream import answering


@pytest.mark.parametrize("size", [100, pytest.param(10**6, marks=pytest.mark.slow)])
@pytest.mark.parametrize("http2", [False, True], ids=["http1", "http2"])
@pytest.mark.parametrize("length", [True, False], ids=["length", "chunked"])
def test_bodies_in_files(gateway, size, http2, length):
    """Over client_body_buffer_size, nginx writes them to files."""
    g = gateway(settings(sealed_ids="strict"), server="client_body_buffer_size 1k;")
    g.upstream.answer = provider = Provider()
    provider.accounts[NATIVE] = "bravo"
    id = sealed(NATIVE, "bravo")
    body = json.dumps({"previous_response_id": id, "input": "é" * size, "more": id}).encode()
    content = body if length else iter([body[:10], body[10:90], body[90:]])
    with client(http2) as own:
        answer = own.post(g.url + "/v1/responses", headers=encoded([JSON]), content=content)
    assert answer.status_code == 200 and answer.headers["x-account"] == "bravo"
    got = g.upstream.last()
    assert json.loads(got.body) == {"previous_response_id": NATIVE, "input": "é" * size, "more": id}
    assert int(got.value("content-length")) == len(got.body)
    assert not list(g.folder.glob("tmp/body/*")), "a file is left"


def test_uploads_are_not_held(gateway):
    """With proxy_request_buffering off, the upstream gets the first part before the client has
    sent the second."""
    server = """
    location ~ /files$ {
        rewrite_by_lua_block { require("resty.tokenpin").request() }
        proxy_request_buffering off;
        proxy_pass http://provider;
    }
    """
    g = gateway(settings(sealed_ids="seal"), server=server)
    seen = []
    read = type(g.upstream).read

    def spied(stream):
        seen.append(stream.peek(1))
        return read(g.upstream, stream)

    g.upstream.read = spied
    fields = "host: g\r\ncontent-length: 2000\r\ncontent-type: multipart/form-data; boundary=x\r\n"
    head = f"POST /v1/files HTTP/1.1\r\n{fields}\r\n"
    with g.connect() as connection:
        connection.sendall(head.encode() + b"a" * 1000)
        stack.wait_for("the upstream being asked", lambda: seen)
        connection.sendall(b"b" * 1000)
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")
    assert g.upstream.last().body == b"a" * 1000 + b"b" * 1000


def test_all_bodies_of_a_worker(gateway):
    g = gateway(settings(sealed_ids="seal", max_held_bodies=100000), workers=1)
    large = b'{"input":"' + b"x" * 50000 + b'"}'
    head = b"POST /v1/responses HTTP/1.1\r\nhost: g\r\ncontent-type: application/json\r\ncontent-length: 70000\r\n\r\n"
    for _ in range(3):
        with g.connect() as first:
            first.sendall(head + b"x" * 60000)
            time.sleep(0.2)
            answer = g.send(body=large, headers=[JSON])
            assert answer.status == 503 and answer.value("retry-after") == "1"
            assert json.loads(answer.body)["error"]["code"] == "too_many_bodies"
        # The client is gone: its room is given back.
        stack.wait_for("room", lambda: g.send(body=large, headers=[JSON]).status == 200)


def test_a_body_without_a_length_takes_all_room(gateway):
    """It may become as long as any. Requests that only read are served meanwhile, and the room
    is given back."""
    g = gateway(settings(sealed_ids="seal", max_held_bodies=100000), workers=1)
    fields = b"host: g\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n"
    head = b"POST /v1/responses HTTP/1.1\r\n" + fields + b"\r\n"
    small = b'{"input":"x"}'
    for ending in (b"d\r\n" + small + b"\r\n0\r\n\r\n", b""):
        with g.connect() as first:
            first.sendall(head)
            time.sleep(0.2)
            for content in (small, iter([small])):
                for http2 in (False, True):
                    answer = g.send(body=content, headers=[JSON], http2=http2)
                    assert (answer.status, json.loads(answer.body)["error"]["code"]) == (503, "too_many_bodies")
            for http2 in (False, True):
                assert g.send("GET", "/v1/responses/resp_1", cookie=forge("alpha"), http2=http2).status == 200
            first.sendall(ending)
            if ending:
                assert first.recv(65536).startswith(b"HTTP/1.1 200 ")
        stack.wait_for("room", lambda: g.send(body=iter([small]), headers=[JSON]).status == 200)


def test_a_body_over_nginxs_limit_gives_its_room_back(gateway):
    """Also where nginx redirects to a location that does not log."""
    server = """
    location /small/ {
        client_max_body_size 1k;
        error_page 413 @small;
        rewrite_by_lua_block { require("resty.tokenpin").request() }
        proxy_pass http://provider;
    }
    location @small {
        log_by_lua_block { }
        content_by_lua_block { require("resty.tokenpin").too_large() }
    }
    """
    g = gateway(settings(sealed_ids="seal", max_held_bodies=100000), workers=1, server=server)
    for _ in range(3):
        answer = g.send(path="/small/v1/responses", body=iter([b"x" * 2000]), headers=[JSON])
        assert (answer.status, json.loads(answer.body)["error"]["code"]) == (413, "request_too_large")
    assert g.send(body=b"{}" + b" " * 90000, headers=[JSON]).status == 200


def test_gzip_of_the_upstream_and_of_nginx(gateway):
    g = gateway(settings(sealed_ids="seal"), server="gzip on; gzip_types application/json; gzip_min_length 1;")
    body = json.dumps({"id": NATIVE, "object": "response"}).encode()
    accepts = [("accept-encoding", "gzip")]
    # nginx compresses the sealed body.
    g.upstream.script = [answering(200, [JSON], body)]
    answer = g.send(headers=accepts)
    assert json.loads(answer.body)["id"].endswith(("tp0", "tp1", "tp2"))
    assert g.upstream.last().value("accept-encoding") == b"identity"
    # A body that comes compressed nevertheless passes, and is counted.
    g.upstream.script = [answering(200, [JSON, ("content-encoding", "gzip")], gzip.compress(body))]
    with g.counting() as rose:
        answer = g.send(headers=accepts)
    assert json.loads(answer.body)["id"] == NATIVE and rose["bodies_not_sealed"] == 1


def test_limits_of_nginx_in_the_gateways_words(gateway):
    g = gateway(settings(sealed_ids="seal"), max_body=1000)
    for chunks in (b"x" * 2000, iter([b"x" * 600, b"x" * 600])):
        with client() as own:
            answer = own.post(g.url + "/v1/responses", headers=encoded([JSON]), content=chunks)
        assert answer.status_code == 413 and answer.json()["error"]["code"] == "request_too_large"
        with client() as own:
            headers = encoded([JSON, ("anthropic-version", "2023-06-01")])
            answer = own.post(g.url + "/v1/responses", headers=headers, content=b"x" * 2000)
        assert answer.json()["error"]["type"] == "request_too_large"


def test_the_body_of_a_request_counts_once(gateway):
    """The counters say nothing of the response's body if none is sealed."""
    g = gateway(settings(sealed_ids="seal"))
    with g.counting() as rose:
        for body in (b'{"input":', json.dumps({"previous_response_id": sealed(NATIVE, "bravo")}).encode()):
            g.upstream.script = [answering(400, [("content-type", "text/plain")], b"no")]
            assert g.send(headers=[JSON], body=body).status == 400
    assert (rose["bodies_not_understood"], rose["ids_opened"], rose.get("ids_sealed")) == (1, 1, None)
