"""A plugin of pytest that lets the end-to-end tests of the filter for Envoy run with nginx in
its place."""

import copy
import json
import re

import gateway
import pytest
import stack
from differences import DIFFERENCES
from server import UPSTREAM, Nginx

# Options of an Envoy's HTTP connection manager that nginx has no need of, or is given otherwise.
IGNORED = {"max_request_headers_kb", "http_protocol_options", "http2_protocol_options", "upgrade_configs"}
# Options of a route that nginx needs not: it keeps bodies, and waits as long.
OF_ROUTES = {"cluster", "timeout", "retry_policy"}

OVER_HTTP2 = {}  # ports of gateways for HTTP/1.1, and for HTTP/2


def over_http2(url):
    return re.sub(r":(\d+)/", lambda found: f":{OVER_HTTP2[int(found[1])]}/", url, count=1)


class Client:
    """One of HTTP/2, which asks at the port that speaks it."""

    def __init__(self, made):
        self.made = made

    def request(self, method, url, **options):
        return self.made.request(method, over_http2(url), **options)

    def stream(self, method, url, **options):
        return self.made.stream(method, over_http2(url), **options)

    def post(self, url, **options):
        return self.request("POST", url, **options)

    def close(self):
        self.made.close()

    def __enter__(self):
        self.made.__enter__()
        return self

    def __exit__(self, *error):
        return self.made.__exit__(*error)


make_client = gateway.client


def client(http2=False, cookies=None):
    made = make_client(http2, cookies)
    return Client(made) if http2 else made


class NginxGateway(gateway.Gateway):
    def __init__(self, folder, module_folder, environment=None, upstream=None):
        self.folder = folder
        self.upstream = upstream or gateway.Upstream(gateway.authorizations(gateway.KNOWN))
        self.envoy = Nginx(folder, module_folder.parent, {**gateway.ENVIRONMENT, **(environment or {})})
        self.clients = {}
        self.speaks_http2 = False

    def configure(self, upstream_port=None, **options):
        routes = options.pop("routes", None) or []
        unknown = {name for name, value in options.items() if value} - IGNORED
        assert not unknown, f"only Envoy has {unknown}"
        port = self.upstream.port if upstream_port is None else upstream_port
        self.envoy.parts["upstream_port"] = port
        for number, each in enumerate(routes):
            self.add_route(f"route-{number}", copy.deepcopy(each))

    def add_route(self, name, route):
        """A location for a route, with the route's own configuration."""
        (prefix,) = [route["match"].pop("prefix")]
        assert not route.pop("match"), "only Envoy matches so"
        action, own = dict(route.pop("route")), route.pop("typed_per_filter_config", None)
        assert not route, f"only Envoy has {route}"
        lines = []
        host = action.pop("host_rewrite_literal", "provider")
        if host != "provider":
            self.envoy.parts["http"] += UPSTREAM.format(host=host, **self.envoy.parts)
        rewritten = action.pop("prefix_rewrite", None)
        if rewritten:
            lines.append(f"rewrite ^{prefix}(.*)$ {rewritten}$1 break;")
        unknown = set(action) - OF_ROUTES
        assert not unknown and action.get("cluster") == "upstream", f"only Envoy has {action}"
        own = own and own[stack.FILTER]
        if own is None:
            lines.append('rewrite_by_lua_block { require("resty.tokenpin").request() }')
        elif not own.get("disabled"):
            path = self.folder / f"{name}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            fields = own["filter_config"]["value"]
            path.write_text(json.dumps(fields))
            make = "setup" if "tokens" in fields else "route"
            self.envoy.parts["init"] += f'require("resty.tokenpin").{make}("{path}", "{name}")\n'
            lines.append(f'rewrite_by_lua_block {{ require("resty.tokenpin").request("{name}") }}')
        lines.append(f"proxy_pass http://{host};")
        if prefix == "/":
            self.envoy.parts["location"] = "\n".join(lines)
        else:
            self.envoy.parts["server"] += f"location {prefix} {{ {' '.join(lines)} }}\n"

    def start(self, settings):
        OVER_HTTP2[self.envoy.port] = self.envoy.http2_port
        super().start(settings)

        def update(settings):
            self.envoy.update(settings)
            # The old workers close their connections.
            self.clients = {}

        self.update = update

    def connect(self):
        port = self.envoy.port
        if self.speaks_http2:
            self.envoy.port = self.envoy.http2_port
        try:
            return super().connect()
        finally:
            self.envoy.port = port

    def multiplex(self, *requests, **options):
        self.speaks_http2 = True
        try:
            return super().multiplex(*requests, **options)
        finally:
            self.speaks_http2 = False


gateway.Gateway = NginxGateway
gateway.client = client


def pytest_addoption(parser):
    parser.addoption("--no-jit", action="store_true")


def pytest_configure(config):
    Nginx.jit = not config.getoption("--no-jit")


# The most valuable ones, for `make nginx`.
QUICK = (
    "test_hostile.py::test_hostile_",
    "test_sealed.py::test_chains_without_a_cookie",
    "test_retry.py::test_a_first_request_moves_on",
    "test_cookies.py::test_a_session_stays_on_its_token",
)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    def reason(item):
        for name in (item.nodeid, item.nodeid.partition("[")[0], item.nodeid.partition("::")[0]):
            short = name.rpartition("/")[2]
            if short in DIFFERENCES:
                return short
        return None

    for item in items:
        if item.nodeid.rpartition("/")[2].startswith(QUICK):
            item.add_marker("quick")
    differing = {item: reason(item) for item in items}
    # A run of all has to have each that is named.
    unknown = set(DIFFERENCES) - set(differing.values())
    is_all = len(items) > 400 and not config.option.markexpr and not config.option.keyword
    assert not (is_all and unknown), f"there are no such tests: {unknown}"
    config.hook.pytest_deselected(items=[item for item in items if differing[item]])
    items[:] = [item for item in items if not differing[item]]
