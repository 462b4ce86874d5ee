"""Envoy with the filter for proxy-wasm. Its program is tokenpin.wasm."""

import os

from adapters import envoy


class Gateway(envoy.Gateway):
    wasm = True

    def __init__(self, program, provider_port, folder):
        os.environ["TOKENPIN_WASM"] = os.path.abspath(program)
        super().__init__(os.path.dirname(program), provider_port, folder)
