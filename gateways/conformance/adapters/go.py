"""The Go middleware: the example fromjson."""

from suite import LOOPBACK, Process


class Gateway(Process):
    differs = {
        "a cookie is returned with success only: 304": "net/http takes the Content-Type off a 304",
        "what the account answers passes: 304": "net/http takes the Content-Type off a 304",
    }

    def command(self, config, port):
        return [self.program, self.write(config), f"{LOOPBACK}:{port}", f"http://{LOOPBACK}:{self.provider_port}"]
