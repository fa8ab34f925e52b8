"""Users: a broker's users for the roles of some instances, as RabbitMQ's definitions and as commands."""

import base64
import hashlib
import shlex
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from schema.ids import InstanceName

from bus.roles import ANYTHING, Role, permissions
from bus.topology import EXCHANGE

ADMINISTRATOR = "administrator"
"""Who may do everything; no service needs it."""


def user_of(role: Role) -> str:
    """The name of a role's user."""
    return f"xenops-{role}"


def definitions(
    passwords: Mapping[str, str], salts: Mapping[str, bytes], instances: Iterable[InstanceName]
) -> dict[str, Any]:
    """The users of all roles and the administrator, as RabbitMQ imports them; a salt is four random bytes."""
    names = sorted(instances)
    roles = {user_of(role): permissions(role, names) for role in Role} if names else {}
    allowed = [
        {"user": user, "configure": one.configure, "write": one.write, "read": one.read}
        for user, one in roles.items()
    ]
    everything = {"configure": ANYTHING, "write": ANYTHING, "read": ANYTHING}
    return {
        "vhosts": [{"name": "/"}],
        "users": [
            {
                "name": user,
                "password_hash": _hash(passwords[user], salts[user]),
                "hashing_algorithm": "rabbit_password_hashing_sha256",
                "tags": ADMINISTRATOR if user == ADMINISTRATOR else "",
            }
            for user in (ADMINISTRATOR, *roles)
        ],
        "permissions": [{"vhost": "/", **one} for one in ({"user": ADMINISTRATOR, **everything}, *allowed)],
        "topic_permissions": [
            {"vhost": "/", "exchange": EXCHANGE, "user": user, "write": one.append, "read": one.bind}
            for user, one in roles.items()
        ],
    }


def commands(vhost: str, instances: Iterable[InstanceName]) -> Iterator[str]:
    """What an administrator of a broker runs; `add_user` asks for the password."""
    names = sorted(instances)
    for role in Role:
        user, one = user_of(role), permissions(role, names)
        yield shlex.join(("rabbitmqctl", "add_user", user))
        patterns = (one.configure, one.write, one.read)
        yield shlex.join(("rabbitmqctl", "set_permissions", "-p", vhost, user, *patterns))
        topics = (EXCHANGE, one.append, one.bind)
        yield shlex.join(("rabbitmqctl", "set_topic_permissions", "-p", vhost, user, *topics))


def _hash(password: str, salt: bytes) -> str:
    """As RabbitMQ keeps a password."""
    return base64.b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode()
