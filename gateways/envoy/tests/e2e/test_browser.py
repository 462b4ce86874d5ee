"""Pages of another site, in a real Chromium, over TLS, by the recipes of docs/guides/recipes.md."""

import json
import re
import shutil
import subprocess

import pytest
import recipes
import stack
from upstream import reply

PAIRS = 12
BROWSER = ["chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run"]
BROWSER += ["--ignore-certificate-errors", "--test-third-party-cookie-phaseout"]

COOKIES = """
async function ask(path, options) {
  return fetch("https://gateway.example" + path, { ...options, credentials: "include" });
}
"""
(CARRIER,) = re.findall(r"^```js\n(.*?)^```", recipes.TEXT, re.M | re.S)

# Creates an object and reads it, a dozen times; 404 means that another account has it.
PAGE = """<!doctype html><script>%s
async function run() {
  const statuses = [];
  for (let i = 0; i < %d; i++) {
    const headers = { "content-type": "application/json" };
    const made = await ask("/v1/files", { method: "POST", headers, body: "{}" });
    const read = await ask("/v1/files/" + await made.text(), { headers });
    statuses.push(read.status);
  }
  return JSON.stringify(statuses);
}
run().catch(String).then(body => fetch("/result", { method: "POST", body }));
</script>"""


class Provider:
    def __init__(self):
        self.made = []  # the account of each id
        self.results = []

    def __call__(self, request):
        if request.target == "/result":
            self.results.append(request.body.decode())
            return reply(request)
        if request.method == "POST":
            self.made.append(request.account)
            return reply(request, body=str(len(self.made) - 1).encode())
        owner = self.made[int(request.target.rpartition("/")[2])]
        return reply(request, 200 if owner == request.account else 404)


def certificate(folder):
    """A listener's TLS, with a certificate that the browser does not check."""
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1"]
    command += ["-subj", "/CN=gateway.example"]
    command += ["-keyout", folder / "key.pem", "-out", folder / "cert.pem"]
    subprocess.run(command, check=True, capture_output=True)
    files = {
        "certificate_chain": {"filename": str(folder / "cert.pem")},
        "private_key": {"filename": str(folder / "key.pem")},
    }
    kind = "transport_sockets.tls.v3.DownstreamTlsContext"
    context = stack.extension(kind, common_tls_context={"tls_certificates": [files]})
    return {"name": "envoy.transport_sockets.tls", "typed_config": context}


def with_shop(folder):
    """Puts TLS in front, and the page's own host beside the gateway's."""
    page = {"body": {"inline_string": PAGE}, "status": 200}

    def alter(configuration):
        (listener,) = configuration["static_resources"]["listeners"]
        listener["filter_chains"][0]["transport_socket"] = certificate(folder)
        html = [{"header": {"key": "content-type", "value": "text/html"}}]
        shop = {
            "name": "shop",
            "domains": ["shop.example"],
            "typed_per_filter_config": stack.no_module_route(),
            "routes": [
                {"match": {"path": "/result"}, "route": {"cluster": "upstream"}},
                {"match": {"path": "/"}, "direct_response": page, "response_headers_to_add": html},
            ],
        }
        stack.hosts(configuration).append(shop)

    return page, alter


def lost(g, folder, recipe, script, replace=()):
    """Returns the number of a page's reads that did not find its object."""
    provider = g.upstream.answer = Provider()
    page, alter = with_shop(folder)
    page["body"]["inline_string"] = PAGE % (script, PAIRS)
    recipes.start(g, recipe, replace=replace, alter=alter)
    # Envoy's own port, under the names and the port of the recipe.
    hosts = [f"MAP {name}.example:443 127.0.0.1:{g.envoy.port}" for name in ("shop", "gateway")]
    command = [*BROWSER, f"--user-data-dir={folder / 'profile'}"]
    command += [f"--host-resolver-rules={','.join(hosts)}", "https://shop.example/"]
    with (folder / "chromium.out").open("wb") as out:
        browser = stack.Process(command, {}, stdout=out, stderr=out)
    try:
        stack.wait_for("the page's result", lambda: provider.results, patience=60)
    finally:
        browser.stop()
        shutil.rmtree(folder / "profile", ignore_errors=True)
    statuses = json.loads(provider.results[0])
    assert len(statuses) == PAIRS and set(statuses) <= {200, 404}
    return statuses.count(404)


COOKIE = "cookie: { same_site: none, partitioned: true }"


def test_a_cookie_across_sites(gateways, folder):
    assert lost(gateways(), folder, "cookies across sites", COOKIES) == 0


def test_a_carrier_across_sites(gateways, folder):
    assert lost(gateways(), folder, "a carrier across sites", CARRIER) == 0


@pytest.mark.parametrize("fields", ["cookie: {}", "cookie: { same_site: none }"])
def test_what_is_not_enough(gateways, folder, fields):
    """The chance that none is lost is (1/3)^12."""
    assert lost(gateways(), folder, "cookies across sites", COOKIES, [(COOKIE, fields)]) > 0
