"""Envoy with the plugin for proxy-wasm. Its program is tokenpin.wasm."""

import pathlib
import sys

from suite import ENVIRONMENT

sys.path.append(str(pathlib.Path(__file__).parents[2] / "envoy" / "tests" / "harness"))

import stack  # noqa: E402


class Gateway:
    differs = {}

    def __init__(self, program, provider_port, folder):
        self.envoy = stack.Envoy(folder / "envoy", folder, ENVIRONMENT, str(pathlib.Path(program).resolve()))
        routes = [{"match": {"prefix": "/"}, "route": {"cluster": "provider"}}]
        manager = {"generate_request_id": False, "upgrade_configs": [{"upgrade_type": "websocket"}], "server_header_transformation": "PASS_THROUGH"}
        self.envoy.configuration = stack.bootstrap([self.envoy.filter()], routes, [stack.cluster("provider", provider_port)], **manager)
        for host in stack.hosts(self.envoy.configuration):
            host["request_body_buffer_limit"] = 64 << 20

    def start(self, config):
        if self.envoy.process is None:
            self.envoy.start(config)
            self.port = self.envoy.port
        else:
            self.envoy.update(config)

    def stop(self):
        self.envoy.stop()
