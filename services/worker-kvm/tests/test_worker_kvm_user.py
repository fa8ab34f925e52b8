"""As whom QEMU runs, and how long its log may be."""

import os
import pwd
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from worker_kvm.qemu.logs import KEPT_BYTES, shorten
from worker_kvm.qemu.user import RightsError, User, find_user, launcher


@pytest.fixture(name="become")
def make_become(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    return lambda uid: monkeypatch.setattr(os, "geteuid", lambda: uid)


def test_each_domain_has_a_number_of_its_own(become: Callable[[int], None]) -> None:
    become(0)
    users = find_user("1000-1002")
    assert [users.of(domid) for domid in (0, 1, 3)] == [(1000, 1000), (1001, 1001), (1000, 1000)]


def test_a_name_is_one_user_with_its_groups(become: Callable[[int], None]) -> None:
    become(0)
    nobody, user = pwd.getpwnam("nobody"), find_user("nobody")
    assert user.of(7) == (nobody.pw_uid, nobody.pw_gid)
    assert nobody.pw_gid in user.groups


@pytest.mark.parametrize(
    ("word", "words"),
    [
        ("no-such-user", "there is no user 'no-such-user': make it"),
        ("root", "is root"),
        ("0-9", "no range"),
        ("9-8", "no range"),
        ("1-4294967295", "no range"),
    ],
)
def test_whom_qemu_cannot_be_is_named(become: Callable[[int], None], word: str, words: str) -> None:
    become(0)
    with pytest.raises(RightsError, match=words):
        find_user(word)


def test_only_root_has_users_to_give(become: Callable[[int], None]) -> None:
    become(1)
    with pytest.raises(RightsError, match="only root can run QEMU as 'nobody'"):
        find_user("nobody")


def test_what_comes_before_a_program() -> None:
    assert launcher(None, 1) == []
    words = launcher(User("x", 1000, 1000, (5, 6), 10), 3)
    assert words[:6] == ["setpriv", "--reuid", "1003", "--regid", "1003", "--groups=5,6"]
    assert "--clear-groups" in launcher(User("x", 1000, 1000), 3)


def used(path: Path) -> int:
    return path.stat().st_blocks * 512


def test_a_long_log_keeps_its_end(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"chatter\n" * 400_000 + b"the end\n")
    shorten(log)
    assert used(log) <= 2 * KEPT_BYTES
    assert log.read_bytes().endswith(b"chatter\nthe end\n")
    log.write_bytes(b"short")
    shorten(log)
    assert log.read_bytes() == b"short"
    shorten(tmp_path / "absent")


def test_where_no_hole_can_be_made_the_log_begins_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "fallocate"
    program.write_text("#!/bin/sh\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    assert subprocess.run(["fallocate"], check=False).returncode == 1
    log = tmp_path / "log"
    log.write_bytes(b"chatter\n" * 400_000)
    shorten(log)
    assert log.read_bytes() == b""
