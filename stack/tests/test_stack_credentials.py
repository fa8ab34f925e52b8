"""Credentials for containers: each role has its own, and only its own."""

import json
from pathlib import Path

import pytest
from bus.roles import Role
from stack.credentials import hand_out
from stack.processes import StackError


def test_each_role_has_its_own_url_and_keeps_it(tmp_path: Path) -> None:
    hand_out(tmp_path, "rabbitmq:5672", ["a", "b"])
    urls = {role: (tmp_path / role / "url").read_text() for role in Role}
    assert all(f"amqp://xenops-{role}:" in url and "@rabbitmq:5672/" in url for role, url in urls.items())
    assert len(set(urls.values())) == len(Role)
    hand_out(tmp_path, "rabbitmq:5672", ["a", "b"])
    assert urls == {role: (tmp_path / role / "url").read_text() for role in Role}


def test_the_dashboard_has_its_tokens_and_keeps_them(tmp_path: Path) -> None:
    hand_out(tmp_path, "rabbitmq:5672", ["a"])
    tokens = (tmp_path / "dashboard" / "tokens").read_text()
    hand_out(tmp_path, "rabbitmq:5672", ["a"])
    assert (tmp_path / "dashboard" / "tokens").read_text() == tokens
    assert {line.split()[1] for line in tokens.splitlines() if not line.startswith("#")} == {
        "reader",
        "operator",
    }


def test_nodes_of_a_cluster_are_named_all_and_share_a_cookie(tmp_path: Path) -> None:
    hand_out(tmp_path, "one:5672,two:5673", ["a"])
    first, second = (tmp_path / "worker" / "url").read_text().strip().split(",")
    assert first.endswith("@one:5672/")
    assert second == first.replace("one:5672", "two:5673")
    cookie = (tmp_path / "broker" / "cookie").read_text()
    hand_out(tmp_path, "one:5672,two:5673", ["a"])
    assert (tmp_path / "broker" / "cookie").read_text() == cookie


def test_prometheus_has_a_readers_token_and_no_other(tmp_path: Path) -> None:
    hand_out(tmp_path, "rabbitmq:5672", ["a"])
    lines = (tmp_path / "dashboard" / "tokens").read_text().splitlines()
    assert [line.split()[2] for line in lines if " reader " in line and line[0] != "#"] == [
        (tmp_path / "prometheus" / "token").read_text()
    ]


def test_the_brokers_folder_holds_no_password(tmp_path: Path) -> None:
    hand_out(tmp_path, "rabbitmq:5672", ["a"])
    told = (tmp_path / "broker" / "definitions.json").read_text()
    assert {f"xenops-{role}" for role in Role} < {user["name"] for user in json.loads(told)["users"]}
    passwords = json.loads((tmp_path / "kept" / "passwords.json").read_text())
    assert not [password for password in passwords.values() if password in told]


@pytest.mark.parametrize(
    ("name", "complaint"), [("../etc", "cannot name an instance"), ("a", "cannot be kept")]
)
def test_what_cannot_be_is_said_in_words(tmp_path: Path, name: str, complaint: str) -> None:
    (tmp_path / "taken").touch()
    with pytest.raises(StackError, match=complaint):
        hand_out(tmp_path / "taken", "rabbitmq:5672", [name])
