"""A name service that does not answer, as for the name of a container that is gone, ends no program."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
from bus.ports import BusUnavailableError
from bus.rabbit import RabbitBus

bus = RabbitBus("amqp://me:secret@node-1.example/", "me", makes_logs=None)
try:
    bus.ready(0.2)
except BusUnavailableError:
    bus.close()
    print("closed")
"""
ADDRESS = "127.0.0.77"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can have a name service of its own")
def test_a_program_ends_well_while_a_name_is_looked_up(tmp_path: Path) -> None:
    (tmp_path / "resolv.conf").write_text(f"nameserver {ADDRESS}\noptions timeout:10 attempts:2\n")
    mount = f"mount --bind {tmp_path}/resolv.conf /etc/resolv.conf"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.settimeout(0)
        silent.bind((ADDRESS, 53))
        words = (
            "unshare",
            "--mount",
            "sh",
            "-c",
            f'{mount} && exec "$@"',
            "sh",
            sys.executable,
            "-c",
            PROGRAM,
        )
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        assert silent.recvfrom(512)
    assert (done.returncode, done.stdout, done.stderr) == (0, "closed\n", "")
