"""The layer for tower: its example from_json."""

from suite import LOOPBACK, Process


class Gateway(Process):
    def command(self, config, port):
        return [self.program, self.write(config), f"{LOOPBACK}:{port}", f"{LOOPBACK}:{self.provider_port}"]
