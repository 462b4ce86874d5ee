"""The gateway for JavaScript, as a plugin in fastify. Its program is Node."""

import pathlib

from suite import LOOPBACK, Process

HOST = pathlib.Path(__file__).parents[3] / "bindings" / "js" / "tests" / "conformance.js"


JOINED = "`Headers` joins the values of several fields"
DECODED = "`fetch` decodes what is compressed, and this is not what it says"


class Gateway(Process):
    joins = True
    differs = {
        "cookies in several lines": JOINED,
        "copies of a key are one": JOINED,
        "keys that differ": JOINED,
        "open: an answer compressed": DECODED,
        "seal: an answer compressed": DECODED,
        "strict: an answer compressed": DECODED,
    }

    def command(self, config, port):
        return [self.program, HOST, self.write(config), str(port), f"http://{LOOPBACK}:{self.provider_port}"]
