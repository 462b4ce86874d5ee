"""nginx with the Lua module. Its program is the folder of libtokenpin.so."""

import pathlib
import sys

from suite import ENVIRONMENT

GATEWAYS = pathlib.Path(__file__).parents[2]
sys.path += [str(GATEWAYS / "nginx" / "tests"), str(GATEWAYS / "envoy" / "tests" / "harness")]

from server import Nginx  # noqa: E402


class Gateway:
    differs = {"credentials that a client sends twice": "nginx itself refuses a second Authorization with 400"}

    def __init__(self, program, provider_port, folder):
        self.nginx = Nginx(folder / "nginx", pathlib.Path(program).resolve(), ENVIRONMENT)
        self.nginx.parts["upstream_port"] = provider_port
        self.port = self.nginx.port

    def start(self, config):
        self.nginx.stop()
        self.nginx.start(config)

    def stop(self):
        self.nginx.stop()
