"""Settings: where the page is served, by which certificate, and who may look and act."""

import ipaddress
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bus.process import ServiceSettings, SettingsError
from bus.process import from_environment as bus_settings

PORT_MAX = 65_535
LOCAL = ("localhost", "127.0.0.1", "[::1]")
"""What a browser on this machine calls it."""


@dataclass(frozen=True, slots=True)
class Settings(ServiceSettings):
    """A service on the bus, and its page.

    `hosts` are the names by which browsers may call it: others' pages cannot pretend to be it. `url_file`
    is where the address is written; a port that stands there is taken again.
    """

    tokens: Path
    host: str = "127.0.0.1"
    port: int = 0
    hosts: tuple[str, ...] = LOCAL
    url_file: Path | None = None
    traces: str = ""
    """Where a trace is looked at: a URL with `{trace}` for its id; "": nowhere."""
    tls: ssl.SSLContext | None = field(default=None, compare=False)


def from_environment(environment: Mapping[str, str]) -> Settings:
    """The settings of a process: those of every service, and the page's.

    `XENOPS_PAGE_TOKENS`: a file of tokens (see `dashboard.operators`), which must be there. `XENOPS_PAGE`:
    where it is served, `127.0.0.1:8600` unless told otherwise; port 0 is any free one. Beyond this machine,
    TLS must be spoken: `XENOPS_PAGE_CERTIFICATE` and `XENOPS_PAGE_KEY` are files. `XENOPS_PAGE_HOSTS`: by
    which names browsers call it, divided by commas. `XENOPS_PAGE_URL`: a file that the address is written
    to. `XENOPS_PAGE_TRACES`: where traces are looked at, a URL with `{trace}` in it, which tasks link to.

    Raises:
        SettingsError: a variable is missing or makes no sense.
    """
    bus = bus_settings(environment)
    tokens = environment.get("XENOPS_PAGE_TOKENS", "")
    if not tokens:
        raise SettingsError("XENOPS_PAGE_TOKENS is not set: name a file of lines NAME ROLE SECRET, mode 0600")
    host, port = _address(environment.get("XENOPS_PAGE", "127.0.0.1:8600"))
    tls = _tls(environment)
    if tls is None and not _is_loopback(host):
        raise SettingsError(
            f"XENOPS_PAGE: at {host}, tokens would cross the network as they are: serve at 127.0.0.1, or set "
            "XENOPS_PAGE_CERTIFICATE and XENOPS_PAGE_KEY"
        )
    named = tuple(
        name.strip() for name in environment.get("XENOPS_PAGE_HOSTS", "").lower().split(",") if name.strip()
    )
    if not named and not _is_loopback(host):
        raise SettingsError("XENOPS_PAGE_HOSTS is not set: by which names do browsers call this machine?")
    url_file = environment.get("XENOPS_PAGE_URL")
    return Settings(
        bus,
        Path(tokens),
        host,
        port,
        (*LOCAL, *named),
        Path(url_file) if url_file else None,
        _traces(environment.get("XENOPS_PAGE_TRACES", "")),
        tls,
    )


def _traces(url: str) -> str:
    if url and not (url.startswith(("http://", "https://")) and "{trace}" in url):
        raise SettingsError(
            f"XENOPS_PAGE_TRACES is {url!r}: write a URL with {{trace}} in it, as "
            "https://jaeger.example/trace/{trace}"
        )
    return url


def _address(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isdecimal() or int(port) > PORT_MAX:
        raise SettingsError(f"XENOPS_PAGE is {text!r}: write 127.0.0.1:8600")
    return host.removeprefix("[").removesuffix("]"), int(port)


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _tls(environment: Mapping[str, str]) -> ssl.SSLContext | None:
    certificate, key = environment.get("XENOPS_PAGE_CERTIFICATE"), environment.get("XENOPS_PAGE_KEY")
    if not certificate and not key:
        return None
    if not certificate or not key:
        raise SettingsError("XENOPS_PAGE_CERTIFICATE and XENOPS_PAGE_KEY go together: set both")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(certificate, key)
    except OSError as error:
        raise SettingsError(f"XENOPS_PAGE_CERTIFICATE, XENOPS_PAGE_KEY: {error}") from error
    return context
