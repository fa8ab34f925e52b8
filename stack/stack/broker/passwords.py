"""Credentials: the passwords of a broker's users, made once and kept in a directory."""

import json
import secrets
from collections.abc import Iterable
from pathlib import Path

from bus.roles import Role
from bus.users import ADMINISTRATOR, definitions, user_of
from schema.ids import InstanceName

DEFINITIONS = "definitions.json"
"""What RabbitMQ imports at its start, as `load_definitions` names it."""

_PASSWORDS = "passwords.json"


def keep(directory: Path, instances: Iterable[InstanceName]) -> dict[str, str]:
    """The password of each user, the administrator's, too; what users are good for is written down anew."""
    kept = directory / _PASSWORDS
    known: dict[str, str] = json.loads(kept.read_text()) if kept.exists() else {}
    users = (ADMINISTRATOR, *map(user_of, Role))
    passwords = {user: known.get(user) or secrets.token_urlsafe(18) for user in users}
    write_secret(kept, json.dumps(passwords))
    salts = {user: secrets.token_bytes(4) for user in users}
    write_secret(directory / DEFINITIONS, json.dumps(definitions(passwords, salts, instances)))
    return passwords


def write_secret(path: Path, text: str) -> None:
    """Write a file that is its user's alone."""
    path.touch(0o600)
    path.write_text(text)
