"""The way to a service on this machine without a broker: JSON-RPC over HTTP on a Unix socket."""

import http.client
import socket
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path
from urllib.parse import quote

from bus.ports import BusUnavailableError, RequestTimeoutError, UndeliveredError
from typing_extensions import override

SCHEME = "unix://"
"""How the URL of a socket begins: `unix:///path/of/socket`."""


class UnixDoor:
    """Calls by `POST /<instance>`; a connection for each call, so that any thread may call."""

    def __init__(self, url: str) -> None:
        self._path = url.removeprefix(SCHEME)

    def call(self, queue: str, body: bytes, timeout_s: float) -> bytes:
        """Send a request to an instance and wait for its answer.

        Raises:
            RequestTimeoutError: nobody answered in time.
            UndeliveredError: nobody listens there any more.
            BusUnavailableError: it is not there, no service's, may not be used, or refuses; with its words.
        """
        connection = _UnixConnection(self._path, timeout_s)
        try:
            connection.connect()
            with suppress(ConnectionError):  # who refuses a request early says why, and is heard below
                connection.request("POST", f"/{quote(queue)}", body)
            response = connection.getresponse()
            answer = response.read()
        except TimeoutError as error:
            raise RequestTimeoutError(f"no answer from {self._path} within {timeout_s:g} s") from error
        except (OSError, http.client.HTTPException) as error:
            raise unanswered(self._path, error) from error
        finally:
            connection.close()
        if response.status != HTTPStatus.OK:
            raise BusUnavailableError(f"{self._path}: {answer.decode(errors='replace')}")
        return answer

    def close(self) -> None:
        """Nothing is kept open."""


def unanswered(path: str, error: Exception) -> BusUnavailableError:
    """What it means that a socket cannot be talked to.

    One that refuses was left by a process that is gone: another one may take its place in a moment. Nothing
    else is worth waiting for.
    """
    match error:
        case FileNotFoundError() | NotADirectoryError():
            sentence = f"there is no socket {path}: is its path right, and does a frontend serve there?"
        case PermissionError():
            sentence = f"the socket {path} is not for this user (permission denied): ask as its frontend's"
        case ConnectionRefusedError() if Path(path).is_socket():
            return UndeliveredError(f"nobody serves at the socket {path} any more: is its frontend running?")
        case ConnectionRefusedError():
            sentence = f"{path} is no socket: is its path right?"
        case _:
            why = error.strerror.lower() if isinstance(error, OSError) and error.strerror else error
            sentence = f"nobody answers at the socket {path} ({why}): does a frontend serve there?"
    return BusUnavailableError(sentence)


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._socket_path = path

    @override
    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._socket_path)
