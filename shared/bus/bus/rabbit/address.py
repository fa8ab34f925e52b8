"""Address: what a broker's URL says: where it is, who we are there, and whether and how by TLS.

`amqps://user:password@host:5671/vhost?cacertfile=…&certfile=…&keyfile=…&verify=…&server_name_indication=…`:
the parameters are those of RabbitMQ's own clients. Without `cacertfile` the system's authorities are trusted.
The nodes of a cluster are as many URLs, divided by commas; they are tried from the first on.
"""

import re
import ssl
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import pika

from bus.ports import BusAddressError
from bus.rabbit.constants import (
    BLOCKED_TIMEOUT_S,
    CONNECT_TIMEOUT_S,
    HANDSHAKE_TIMEOUT_S,
    HEARTBEAT_S,
)

_MAKES_NO_SENSE = "the broker's URL makes no sense: it must look like amqp://user:password@host:5672/vhost or amqps://…:5671/"
_BETWEEN_URLS = re.compile(r"\s*,\s*(?=amqps?://)")
"""A comma may stand in a URL; one before the beginning of another divides the two."""

_TLS = ("cacertfile", "certfile", "keyfile", "verify", "server_name_indication")
_VERIFY, _VERIFY_NOT = "verify_peer", "verify_none"


def nodes_of(urls: str, name: str) -> tuple[pika.URLParameters, ...]:
    """What pika needs to connect to a broker, or to any node of a cluster; `name` is told to it.

    Raises:
        BusAddressError: a URL makes no sense, or a file that it names cannot be used, or the nodes are
            not of one cluster, as their users or virtual hosts differ.
    """
    nodes = tuple(_parameters_of(url, name) for url in _BETWEEN_URLS.split(urls.strip()))
    who, where = nodes[0].credentials, nodes[0].virtual_host
    if any(node.credentials != who or node.virtual_host != where for node in nodes):
        raise BusAddressError(
            "the broker's URLs differ in user, password or virtual host: all must be nodes of one cluster"
        )
    return nodes


def address_of(node: pika.URLParameters) -> str:
    """Where a node is, for people."""
    return f"{node.host}:{node.port}"


def _parameters_of(url: str, name: str) -> pika.URLParameters:
    if not url.startswith(("amqp://", "amqps://")):
        raise BusAddressError(_MAKES_NO_SENSE)
    try:
        parts = urlsplit(url)
        options = parse_qsl(parts.query)
        others = urlencode([(key, value) for key, value in options if key not in _TLS])
        parameters = pika.URLParameters(urlunsplit(parts._replace(query=others)))
    except (ValueError, TypeError, LookupError):
        raise BusAddressError(_MAKES_NO_SENSE) from None  # the cause would show the password
    if parts.scheme == "amqps":
        parameters.ssl_options = _tls({key: value for key, value in options if key in _TLS}, parameters.host)
    parameters.heartbeat = HEARTBEAT_S
    parameters.blocked_connection_timeout = BLOCKED_TIMEOUT_S
    parameters.socket_timeout = CONNECT_TIMEOUT_S
    parameters.stack_timeout = HANDSHAKE_TIMEOUT_S
    parameters.client_properties = {"connection_name": name}
    return parameters


def _tls(options: dict[str, str], host: str) -> pika.SSLOptions:
    verify = options.get("verify", _VERIFY)
    if verify not in (_VERIFY, _VERIFY_NOT):
        raise BusAddressError(f"the broker's URL has verify={verify}: write {_VERIFY} or {_VERIFY_NOT}")
    authorities = options.get("cacertfile")
    try:
        context = ssl.create_default_context(cafile=authorities)
    except OSError as error:
        sentence = f"the authorities in {authorities} (cacertfile in the broker's URL) are of no use: {error}"
        raise BusAddressError(sentence) from error
    if verify == _VERIFY_NOT:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if "certfile" in options:
        _show(context, options["certfile"], options.get("keyfile"))
    return pika.SSLOptions(context, options.get("server_name_indication", host))


def _show(context: ssl.SSLContext, certificate: str, key: str | None) -> None:
    """Have our own certificate to show."""
    try:
        context.load_cert_chain(certificate, key)
    except OSError as error:
        files = f"{certificate} and {key}" if key else certificate
        sentence = f"our certificate in {files} (certfile in the broker's URL) is of no use: {error}"
        raise BusAddressError(sentence) from error
