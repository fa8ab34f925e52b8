import base64
import hashlib

from bus.roles import Role, permissions
from bus.users import ADMINISTRATOR, commands, definitions, user_of
from schema.ids import InstanceName

INSTANCE = InstanceName("org.a")
USERS = (ADMINISTRATOR, *map(user_of, Role))
PASSWORDS = {user: f"secret of {user}" for user in USERS}
SALTS = dict.fromkeys(USERS, b"salt")


def test_each_role_has_a_user_with_its_permissions_and_no_password_is_written_down() -> None:
    found = definitions(PASSWORDS, SALTS, (INSTANCE,))
    assert [user["name"] for user in found["users"]] == list(USERS)
    assert "secret" not in str(found)
    allowed = {one["user"]: one for one in found["permissions"]}
    appends = {one["user"]: one for one in found["topic_permissions"]}
    for role in Role:
        expected = permissions(role, (INSTANCE,))
        assert allowed[user_of(role)]["configure"] == expected.configure
        assert allowed[user_of(role)]["write"] == expected.write
        assert allowed[user_of(role)]["read"] == expected.read
        assert appends[user_of(role)]["write"] == expected.append
    assert {one["user"] for one in found["topic_permissions"] if one["read"] == ".*"} == {"xenops-redirector"}


def test_a_password_is_kept_as_rabbitmq_does() -> None:
    user = definitions(PASSWORDS, SALTS, ())["users"][0]
    kept = base64.b64decode(user["password_hash"])
    assert kept == b"salt" + hashlib.sha256(b"salt" + PASSWORDS[ADMINISTRATOR].encode()).digest()


def test_without_instances_there_is_only_the_administrator() -> None:
    found = definitions(PASSWORDS, SALTS, ())
    assert [user["name"] for user in found["users"]] == [ADMINISTRATOR]
    assert found["topic_permissions"] == []


def test_a_broker_of_ones_own_is_told_the_same_by_commands() -> None:
    lines = list(commands("/xenops", (INSTANCE,)))
    assert lines[0] == "rabbitmqctl add_user xenops-frontend"
    worker = permissions(Role.WORKER, (INSTANCE,))
    assert lines[10].startswith("rabbitmqctl set_permissions -p /xenops xenops-worker '^(")
    assert lines[11].endswith(f"xenops '{worker.append}' '{worker.bind}'")
    assert len(lines) == 3 * len(Role)
