"""A plugin of pytest that lets the end-to-end tests of the filter for Envoy run with nginx in its place."""

import gateway
import pytest
from differences import DIFFERENCES
from server import Nginx

# Options of an Envoy's HTTP connection manager that nginx is given otherwise, or has no need of.
KNOWN = {"max_request_headers_kb"}


class NginxGateway(gateway.Gateway):
    def __init__(self, folder, module_folder, environment=None, upstream=None):
        self.folder = folder
        self.upstream = upstream or gateway.Upstream(gateway.authorizations(gateway.KNOWN))
        self.envoy = Nginx(folder, module_folder.parent, {**gateway.ENVIRONMENT, **(environment or {})})
        self.clients = {}
        self.speaks_http2 = False

    def configure(self, upstream_port=None, **options):
        unknown = set(options) - KNOWN
        assert not unknown, f"only Envoy has {unknown}"
        port = self.upstream.port if upstream_port is None else upstream_port
        self.envoy.parts["upstream_port"] = port

    def start(self, settings):
        super().start(settings)

        def update(settings):
            self.envoy.update(settings)
            # The connections of the old workers are closed.
            for each in self.clients.values():
                each.close()
            self.clients.clear()

        self.update = update

    def send(self, *words, http2=False, **options):
        port = self.envoy.http2_port if http2 else self.envoy.port
        self.url = f"http://127.0.0.1:{port}"
        return super().send(*words, http2=http2, **options)

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


def pytest_addoption(parser):
    parser.addoption("--no-jit", action="store_true")


def pytest_configure(config):
    Nginx.jit = not config.getoption("--no-jit")


def pytest_collection_modifyitems(config, items):
    def reason(item):
        for name in (item.nodeid, item.nodeid.partition("[")[0], item.nodeid.partition("::")[0]):
            short = name.rpartition("/")[2]
            if short in DIFFERENCES:
                return short
        return None

    differing = {item: reason(item) for item in items}
    config.hook.pytest_deselected(items=[item for item in items if differing[item]])
    items[:] = [item for item in items if not differing[item]]
