"""Credentials: what a broker and each service are told of users and passwords, each in a folder of its own.

Where services run in containers, each gets its own folder and no other's.
"""

import secrets
from collections.abc import Iterable
from pathlib import Path

from bus.roles import Role
from bus.users import user_of
from dashboard.operators import OperatorRole
from schema.ids import InstanceName, is_safe_name

from stack.broker.passwords import DEFINITIONS, keep, write_secret
from stack.page import make_tokens, token_in
from stack.processes import StackError

BROKER = "broker"
"""The folder whose `definitions.json` the broker imports; it holds hashes, so anybody may read it."""

URL = "url"
"""The file in each role's folder that its `XENOPS_BROKER_FILE` names."""

TOKENS = "tokens"
"""The file beside it with which people sign in at the dashboard, as its `XENOPS_PAGE_TOKENS` names it."""

COOKIE = "cookie"
"""The file in the broker's folder that makes its nodes one cluster."""

PROMETHEUS = "prometheus"
"""The folder whose `token` lets Prometheus read the dashboard's metrics."""

_KEPT = "kept"


def hand_out(directory: Path, place: str, names: Iterable[str]) -> None:
    """Make what is not there yet; a password stays what it was.

    `place` is the broker's host:port, of each node of a cluster, divided by commas.

    Raises:
        StackError: a name cannot be an instance's, or the directory cannot be written to.
    """
    instances = tuple(map(InstanceName, names))
    unsafe = [name for name in instances if not is_safe_name(name)]
    if unsafe:
        raise StackError(f"{unsafe[0]!r} cannot name an instance: use letters, digits, '.', '_' and '-'")
    try:
        for name in (_KEPT, BROKER, PROMETHEUS, *Role):
            (directory / name).mkdir(parents=True, exist_ok=True)
        passwords = keep(directory / _KEPT, instances)
        told = directory / BROKER / DEFINITIONS
        told.write_text((directory / _KEPT / DEFINITIONS).read_text())
        for role in Role:
            user = user_of(role)
            urls = (f"amqp://{user}:{passwords[user]}@{node}/" for node in place.split(","))
            write_secret(directory / role / URL, ",".join(urls) + "\n")
        _make_cookie(directory / BROKER / COOKIE)
        tokens = directory / Role.DASHBOARD / TOKENS
        make_tokens(tokens)
        write_secret(directory / PROMETHEUS / "token", token_in(tokens, OperatorRole.READER))
    except OSError as error:
        raise StackError(f"credentials cannot be kept in {directory}: {error}") from error


def _make_cookie(path: Path) -> None:
    """What is there stays; the broker's own user reads it, whoever that is."""
    if not path.exists():
        path.write_text(secrets.token_hex(20))
