"""Credentials: made once, kept, and nobody else's to read."""

import json
from pathlib import Path

from bus.roles import Role
from bus.users import ADMINISTRATOR, user_of
from schema.ids import InstanceName
from stack.broker.passwords import DEFINITIONS, keep

INSTANCE = InstanceName("i")


def test_passwords_are_made_once_each_another_and_nobody_elses_to_read(tmp_path: Path) -> None:
    passwords = keep(tmp_path, (INSTANCE,))
    assert set(passwords) == {ADMINISTRATOR, *map(user_of, Role)}
    assert len(set(passwords.values())) == len(passwords)
    assert keep(tmp_path, (INSTANCE,)) == passwords
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}


def test_what_the_broker_is_told_holds_no_password(tmp_path: Path) -> None:
    passwords = keep(tmp_path, (INSTANCE,))
    told = (tmp_path / DEFINITIONS).read_text()
    assert {user["name"] for user in json.loads(told)["users"]} == set(passwords)
    assert not [password for password in passwords.values() if password in told]
