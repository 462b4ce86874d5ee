"""Envoy with the plugin for proxy-wasm. Its program is tokenpin.wasm."""

from adapters import envoy
from adapters.envoy import ENVIRONMENT, stack


class Gateway(envoy.Gateway):
    def __init__(self, program, provider_port, folder):
        super().__init__(program, provider_port, folder)
        for host in stack.hosts(self.envoy.configuration):
            host["request_body_buffer_limit"] = 64 << 20

    def made(self, program, folder):
        return stack.Envoy(folder / "envoy", folder, ENVIRONMENT, str(program))
