"""Envoy with the dynamic module. Its program is the folder of libtokenpin_envoy.so."""

import pathlib
import sys

from suite import ENVIRONMENT

sys.path.append(str(pathlib.Path(__file__).parents[2] / "envoy" / "tests" / "harness"))

import stack  # noqa: E402


class Gateway:
    differs = {}

    def __init__(self, program, provider_port, folder):
        self.envoy = self.made(pathlib.Path(program).resolve(), folder)
        routes = [{"match": {"prefix": "/"}, "route": {"cluster": "provider"}}]
        manager = {
            "generate_request_id": False,
            "upgrade_configs": [{"upgrade_type": "websocket"}],
            "server_header_transformation": "PASS_THROUGH",
        }
        self.envoy.configuration = stack.bootstrap(
            [self.envoy.filter()], routes, [stack.cluster("provider", provider_port)], **manager
        )

    def made(self, program, folder):
        return stack.Envoy(folder / "envoy", program, ENVIRONMENT)

    def start(self, config):
        if self.envoy.process is None:
            self.envoy.start(config)
            self.port = self.envoy.port
        else:
            self.envoy.update(config)

    def stop(self):
        self.envoy.stop()
