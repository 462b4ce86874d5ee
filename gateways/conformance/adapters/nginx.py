"""nginx with the Lua module. Its program is the folder of libtokenpin.so."""

import pathlib
import sys

from suite import ENVIRONMENT

TESTS = pathlib.Path(__file__).parents[2]
sys.path += [str(TESTS / "nginx" / "tests"), str(TESTS / "envoy" / "tests" / "harness")]

from server import Nginx  # noqa: E402


class Gateway:
    differs = {"credentials that a client sends twice": "nginx itself refuses a second Authorization, with its own 400"}

    def __init__(self, program, provider_port, folder):
        self.nginx = Nginx(folder / "nginx", pathlib.Path(program).resolve().parent, ENVIRONMENT)
        self.nginx.parts["upstream_port"] = provider_port

    def start(self, config):
        if self.nginx.process is None:
            self.nginx.start(config)
            self.port = self.nginx.port
        else:
            self.nginx.update(config)

    def stop(self):
        self.nginx.stop()
