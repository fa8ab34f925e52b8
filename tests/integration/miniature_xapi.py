"""As much of xapi as a migration meets at its destination: calls are passed on, connections handed over."""

import json
import socket
import threading
from contextlib import suppress
from pathlib import Path

PATIENCE_S = 90.0


class MiniatureXapi:
    """A port of the loopback interface, before the sockets of one instance in `sockets`."""

    def __init__(self, sockets: Path) -> None:
        self._sockets = sockets
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/services/xenops"
        self.handed_over: list[str] = []
        self.called: list[bytes] = []
        self._threads = [threading.Thread(target=self._serve, daemon=True)]
        self._threads[0].start()

    def close(self) -> None:
        """Take nobody in any more, and wait for those who are."""
        self._listener.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(PATIENCE_S)
        self._listener.close()

    def _serve(self) -> None:
        with suppress(OSError):  # it has been shut down
            while True:
                client, _ = self._listener.accept()
                client.settimeout(PATIENCE_S)
                thread = threading.Thread(target=self._meet, args=(client,), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _meet(self, client: socket.socket) -> None:
        with client:
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                head += client.recv(1)  # not a byte of what belongs to a stream
            line, *lines = head.decode().split("\r\n")
            method, path, _ = line.split(" ")
            headers = dict(text.split(": ", 1) for text in lines if text)
            headers = {name.lower(): value for name, value in headers.items()}
            if method == "PUT":
                self._hand_over(client, path, headers)
            else:
                self._call(client, head, int(headers["content-length"]))

    def _call(self, client: socket.socket, head: bytes, size: int) -> None:
        with client.makefile("rb") as reader:
            body = reader.read(size)
        self.called.append(body)
        with socket.socket(socket.AF_UNIX) as xenopsd:
            xenopsd.settimeout(PATIENCE_S)
            xenopsd.connect(str(self._sockets / "xenopsd"))
            xenopsd.sendall(head.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n") + body)
            while answer := xenopsd.recv(1 << 16):
                client.sendall(answer)

    def _hand_over(self, client: socket.socket, path: str, headers: dict[str, str]) -> None:
        cookies = dict(pair.strip().split("=", 1) for pair in headers.pop("cookie").split(";"))
        self.handed_over.append(path)
        message = {"m": "Put", "path": path, "query": {}, "cookie": cookies, "additional_headers": headers}
        with socket.socket(socket.AF_UNIX) as control:
            control.settimeout(PATIENCE_S)
            control.connect(str(self._sockets / "xenopsd.forwarded"))
            socket.send_fds(control, [json.dumps(message).encode()], [client.fileno()])
            assert control.recv(1) == b""  # as long as the connection lasts, it is left alone
