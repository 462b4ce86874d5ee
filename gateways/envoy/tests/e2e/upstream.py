"""A provider that keeps every request byte for byte, and sends the test's answers."""

import socket
import struct
import threading

import stack

RESET = object()  # an answer's last part: the connection is torn down

DATE = "Mon, 02 Jan 2040 03:04:05 GMT"  # else Envoy would add the current one


class Request:
    def __init__(self, head, body, account):
        self.head = head
        self.body = body
        self.account = account  # the account of its credential, None without one
        lines = head[:-4].split(b"\r\n")
        self.method, self.target, _ = lines[0].decode("latin-1").split(" ")
        pairs = [line.split(b":", 1) for line in lines[1:]]
        self.headers = [(name.decode().lower(), value.strip(b" ")) for name, value in pairs]

    def values(self, name):
        return [value for each, value in self.headers if each == name]

    def value(self, name):
        """The only value; None if there is none."""
        values = self.values(name)
        assert len(values) < 2, f"{name} came {len(values)} times"
        return values[0] if values else None


def reply(request, status=200, headers=(), body=b"{}", length=True):
    """The bytes of a response. Its x-account shows the account that was asked."""
    fields = [("date", DATE), ("x-account", request.account or "nobody"), *headers]
    if length:
        fields.append(("content-length", str(len(body))))
    head = f"HTTP/1.1 {status} Status\r\n" + "".join(f"{n}: {v}\r\n" for n, v in fields) + "\r\n"
    return head.encode("latin-1") + body


def answering(status, headers=(), body=b"{}"):
    return lambda request: reply(request, status, headers, body)


class Upstream:
    """Serves until closed, a thread for each connection.

    `answer` takes a request and returns the bytes of the response, or yields its parts. The next
    answers can be put into `script`.
    """

    def __init__(self, accounts):
        self.accounts = accounts  # authorization value -> name
        self.answer = reply
        self.script = []
        self.requests = []
        self.open = set()
        self.server = socket.create_server((stack.LOOPBACK, 0), backlog=128)
        self.port = self.server.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def last(self):
        return self.requests[-1]

    def accept(self):
        while True:
            try:
                connection, _ = self.server.accept()
            except OSError:
                return
            self.open.add(connection)
            threading.Thread(target=self.serve, args=[connection], daemon=True).start()

    def serve(self, connection):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            with connection, connection.makefile("rb") as stream:
                while self.serve_one(connection, stream):
                    pass
        except OSError:
            pass
        finally:
            self.open.discard(connection)

    def serve_one(self, connection, stream):
        request = self.read(stream)
        if request is None:
            return False
        self.requests.append(request)
        answer = self.script.pop(0) if self.script else self.answer
        parts = answer(request)
        for part in [parts] if isinstance(parts, bytes) else parts:
            if part is RESET:
                # Closing without lingering sends a reset. The file object holds the socket open.
                linger = struct.pack("ii", 1, 0)
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                return False
            connection.sendall(part)
        return True

    def read(self, stream):
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            line = stream.readline()
            if not line:
                return None
            head += line
        request = Request(head, b"", None)
        request.account = self.accounts.get((request.values("authorization") or [None])[0])
        if request.value("transfer-encoding") == b"chunked":
            while size := int(stream.readline() or b"0", 16):  # a client may leave
                request.body += stream.read(size)
                stream.readline()
            stream.readline()
        else:
            request.body = stream.read(int(request.value("content-length") or 0))
        return request

    def close(self):
        self.server.shutdown(socket.SHUT_RDWR)
        self.server.close()
        for connection in list(self.open):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
