import subprocess
import sys

import pytest
from worker_kvm.rights import without_rights

SHOW = "print(next(x.split()[1] for x in open('/proc/self/status') if x.startswith('CapAmb')), flush=True)"
TRY = f"""
import subprocess, sys
from worker_kvm.rights import without_rights
show = [sys.executable, "-c", {SHOW!r}]
subprocess.run(show, check=True)
without_rights(lambda: subprocess.run(show, check=True))
subprocess.run(show, check=True)
"""
GIVEN = ("setpriv", "--inh-caps=+net_admin", "--ambient-caps=+net_admin")


def test_what_is_started_has_none_of_the_capabilities_that_its_starter_keeps() -> None:
    if subprocess.run([*GIVEN, "true"], capture_output=True, check=False).returncode:
        pytest.skip("nobody may hand capabilities on here: run as root")
    done = subprocess.run([*GIVEN, sys.executable, "-c", TRY], capture_output=True, text=True, check=True)
    before, started, after = (int(line, 16) for line in done.stdout.split())
    assert before == after != 0
    assert started == 0


def test_what_cannot_be_started_is_told_as_without_it() -> None:
    def fail() -> None:
        raise FileNotFoundError("no such program")

    with pytest.raises(FileNotFoundError, match="no such program"):
        without_rights(fail)
