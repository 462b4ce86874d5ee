"""The configuration that README.md prints, with the OpenAI client in front of it."""

import json
import re

import openai
import pytest
import stack
from as_envoy import NginxGateway
from gateway import authorizations, credential
from provider import Provider
from server import ROOT, free_ports
from upstream import Upstream, answering

ACCOUNTS = ["account-a", "account-b"]


def printed(language):
    """The block of a language that the tests run."""
    text = (ROOT / "gateways/nginx/README.md").read_text()
    (block,) = re.findall(rf"<!-- the tests run it -->\n```{language}\n(.*?)```", text, re.S)
    return block


@pytest.fixture
def started(folder, run):
    """The printed nginx, with other ports and folders."""
    upstream = Upstream(authorizations(ACCOUNTS))
    environment = {
        "TOKENPIN_PLACEMENT_KEY": "10" * 16,
        "TOKENPIN_COOKIE_KEY": "11" * 16,
        "OPENAI_KEY_A": credential("account-a"),
        "OPENAI_KEY_B": credential("account-b"),
    }
    g = NginxGateway(folder / "gateway", run[1] / "envoy", environment, upstream)
    between, metrics = free_ports(2)
    text = printed("nginx")
    for old, new in {
        "/usr/local/share/tokenpin/lua": f"{ROOT}/gateways/nginx/lua",
        "/usr/local/include": f"{ROOT}/include",
        "/usr/local/lib": f"{run[1]}/lib",
        "/etc/tokenpin/openai.json": f"{g.folder}/tokenpin.json",
        "/var/log/nginx/gateway.log": f"{g.folder}/access.log",
        "127.0.0.1:8080": f"127.0.0.1:{g.envoy.port}",
        "127.0.0.1:9443": f"127.0.0.1:{between}",
        '"127.0.0.1", 9443': f'"127.0.0.1", {between}',
        "127.0.0.1:9145": f"127.0.0.1:{metrics}",
        "server api.openai.com:443": f"server 127.0.0.1:{upstream.port}",
        "https://provider": "http://provider",
    }.items():
        assert old in text, old
        text = text.replace(old, new)
    temporary = "".join(f"{kind}_temp_path tmp/{kind};" for kind in ("proxy", "fastcgi", "uwsgi", "scgi"))
    head = f"daemon off; user root; pid nginx.pid; error_log {g.envoy.log_file} notice;\n"
    text = head + text.replace("http {", f"http {{ client_body_temp_path tmp/body; {temporary}")
    g.envoy.metrics_port = metrics
    g.envoy.start(json.loads(printed("json")), text)
    g.url = g.envoy.url
    yield g
    g.close()


def test_the_configuration_that_is_printed(started):
    g = started
    g.upstream.answer = Provider()
    with openai.OpenAI(base_url=f"{g.url}/v1", api_key="the client's own", max_retries=0) as client:
        ids = []
        for session in range(12):
            own = client.with_options(default_headers={"x-session-id": f"session-{session}"})
            first = own.responses.create(model="m", input="Hello.")
            ids.append(first.id)
            # From another client: only the id tells.
            assert client.responses.retrieve(first.id).id == first.id
            with own.responses.create(model="m", input="And?", previous_response_id=first.id, stream=True) as stream:
                events = list(stream)
            assert [event.type for event in events][-1] == "response.completed"
            assert events[-1].response.previous_response_id == first.id
    accounts = {request.account for request in g.upstream.requests}
    assert accounts == set(ACCOUNTS)
    assert all(request.value("host") == b"api.openai.com" for request in g.upstream.requests)
    assert len(set(ids)) == 12 and all(id.endswith(("tp0", "tp1", "tp2")) for id in ids)
    counters = g.counters()
    assert counters["outcome_placed"] == 12 and counters["id_verdict_sealed"] == 24
    # A refused token is followed by the other.
    g.upstream.script = [answering(429, [("retry-after", "1")])]
    with openai.OpenAI(base_url=f"{g.url}/v1", api_key="another's", max_retries=0) as client:
        assert client.responses.create(model="m", input="Hello.").id
    counters = g.counters()
    assert (counters["retries"], counters["cooldowns"]) == (1, 1)
    path = g.folder / "access.log"
    stack.wait_for("the log", lambda: path.read_text().count("\n") == 37)
    assert "outcome=retried" in path.read_text() and "token=account-" in path.read_text()
