"""Python's ASGI middleware in uvicorn. Its program is a Python that has the package and uvicorn."""

import os
import pathlib

from suite import LOOPBACK, Process

HOST = pathlib.Path(__file__).parents[1] / "asgi_host.py"


class Gateway(Process):
    def command(self, config, port):
        return [
            os.path.abspath(self.program),
            "-B",
            HOST,
            self.write(config),
            str(port),
            f"{LOOPBACK}:{self.provider_port}",
        ]
