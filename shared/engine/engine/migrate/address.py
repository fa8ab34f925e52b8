"""Address: where a migration goes, read from the `xenops_url` that a client gave."""

from dataclasses import dataclass
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from schema.fault import XenopsError, internal_error
from typing_extensions import override

HTTP_PORT = 80
HTTPS_PORT = 443

DEFAULT_PATH = "/services/xenops"
"""Under which xapi serves its host's xenopsd; a door of ours serves its first instance there."""

_FORMS = (
    "use http://HOST:PORT/services/xenops, https://..., or unix:///PATH/OF/SOCKET, "
    "there with ?instance=NAME for an instance other than the first"
)


@dataclass(frozen=True, slots=True)
class TcpHost:
    """A host and a port; `tls`: encrypted."""

    host: str
    port: int
    tls: bool = False

    @override
    def __str__(self) -> str:
        """As in a URL."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class UnixSocket:
    """A socket of this host."""

    path: str

    @override
    def __str__(self) -> str:
        """The path."""
        return self.path


Endpoint = TcpHost | UnixSocket
"""What one can connect to."""


@dataclass(frozen=True, slots=True)
class Address:
    """A destination: where to connect, and the path and query of its service there."""

    endpoint: Endpoint
    path: str
    query: str = ""

    def target(self, below: str = "") -> str:
        """What is asked for in a request: the service, or something `below` it."""
        return self.path.rstrip("/") + below + (f"?{self.query}" if self.query else "")


def read_url(url: str) -> Address:
    """The destination of a `xenops_url`.

    Raises:
        XenopsError: `Internal_error` that says which forms are known.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise _unknown(url) from error
    match parts.scheme:
        case "http" | "https" if parts.hostname:
            tls = parts.scheme == "https"
            host = TcpHost(parts.hostname, port or (HTTPS_PORT if tls else HTTP_PORT), tls)
            return Address(host, parts.path or DEFAULT_PATH, parts.query)
        case "unix" | "file" if parts.path:
            return Address(UnixSocket(unquote(parts.path)), _instance_path(parts))
        case _:
            raise _unknown(url)


def read_socket(text: str) -> Endpoint:
    """Where a frontend says that it can be reached: `HOST:PORT` or the path of a socket.

    Raises:
        XenopsError: `Internal_error`, it is neither.
    """
    if text.startswith("/"):
        return UnixSocket(text)
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal():
        raise internal_error(f"{text!r} is no address of a frontend: give HOST:PORT, or the path of a socket")
    return TcpHost(host.strip("[]"), int(port))


def _instance_path(parts: SplitResult) -> str:
    instance = parse_qs(parts.query).get("instance", [""])[0]
    return f"/{instance}" if instance else DEFAULT_PATH


def _unknown(url: str) -> XenopsError:
    return internal_error(f"Cannot migrate to {url!r}: {_FORMS}")
