"""What a QEMU may do that a guest has taken over: nothing to the host, and nothing to another guest."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from engine.backend import CreateOptions, Devices
from qemu_host import MIB, VM, Host, line, xvd
from schema.ids import DeviceId, VmId
from schema.objects.disk import LocalDisk
from schema.objects.vm import Vm
from worker_kvm.qemu.logs import LOG_BYTES_MAX, shorten
from worker_kvm.qemu.sweep import find_strays
from worker_kvm.qemu.user import launcher

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can run QEMU as another user")

SECRET = b"a secret of the host"


@pytest.fixture(name="host")
def open_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    monkeypatch.setenv("XENOPS_BROKER", "amqp://user:password@host")
    with Host(tmp_path, bridged=False) as host:
        yield host


def on_base(host: Host, name: str) -> LocalDisk:
    """A disk of root alone, on top of another of root alone."""
    base, path = Path(host.disk(f"base-{name}.raw").path), host.directory / name
    with base.open("r+b") as file:
        file.write(SECRET)
    command = ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", base.name, str(path)]
    subprocess.run(command, check=True)
    base.chmod(0o600)
    path.chmod(0o600)
    return LocalDisk(path=str(path))


def status(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (found.partition(":") for found in lines)}


def start_another(host: Host, vm: Vm, disk: LocalDisk) -> None:
    host.backend.vm.create(host.task, vm, Devices(), CreateOptions())
    host.backend.vm.build(host.task, vm, Devices(), force=False)
    vbd = xvd("a", disk).model_copy(update={"id": DeviceId(vm.id, "xvda")})
    host.backend.vbd.attach(host.task, VmId(vm.id), vbd)
    host.backend.vbd.activate(host.task, VmId(vm.id), vbd)
    host.launch(vm)


def denied(host: Host, domid: int, *command: str) -> bool:
    """Whether a command is refused to the user of a domain's QEMU."""
    line = [*launcher(host.settings.user, domid), *command]
    done = subprocess.run(line, capture_output=True, text=True, check=False, env=os.environ | {"LC_ALL": "C"})
    assert done.returncode == 0 or "ermission denied" in done.stderr or "not permitted" in done.stderr
    return done.returncode != 0


def test_a_qemu_without_rights_has_what_its_vm_has_and_nothing_of_another(host: Host) -> None:
    vm, other = host.vm(), host.vm().model_copy(update={"id": VmId("other")})
    others = host.disk("other.raw")
    Path(others.path).chmod(0o600)
    host.create(vm)
    host.plug(xvd("a", on_base(host, "top.qcow2")))
    host.launch(vm)
    start_another(host, other, others)
    pids = {stray.vm: stray.process.pid for stray in find_strays(host.settings.run)}
    pid, domid = pids[vm.id], host.state(vm).domids[0]
    assert host.settings.user is not None
    uid, gid = host.settings.user.of(domid)
    told = status(pid)
    assert told["Uid"].split() == [str(uid)] * 4
    assert told["Gid"].split() == [str(gid)] * 4
    assert (told["NoNewPrivs"], told["Seccomp"]) == ("1", "2")
    assert {int(told[name], 16) for name in ("CapEff", "CapPrm", "CapInh", "CapAmb")} == {0}
    assert status(pids[other.id])["Uid"] != told["Uid"]
    assert b"password" not in Path(f"/proc/{pid}/environ").read_bytes()
    own = Path(f"/proc/{pid}/cwd").readlink()
    assert (own.stat().st_uid, own.stat().st_mode & 0o777) == (uid, 0o700)
    for path in (others.path, f"/proc/{pids[other.id]}/environ", f"/proc/{pids[other.id]}/fd/0"):
        assert denied(host, domid, "cat", path)
    assert denied(host, domid, "kill", "-KILL", str(pids[other.id]))
    assert not denied(host, domid, "cat", f"/proc/{pid}/environ")
    host.plug(xvd("b", on_base(host, "hot.qcow2")))
    with host.console(vm) as console:
        host.backend.vm.unpause(host.task, vm)
        assert f"sda:{8 * MIB} sdb:{8 * MIB}" in line(console, "userland is up")
        console.say("head -c 20 /dev/sda; echo; echo written > /dev/sdb; sync; head -c 20 /dev/sdb; echo")
        line(console, SECRET.decode())
        line(console, "written")
    host.unplug(xvd("b", LocalDisk(path=str(host.directory / "hot.qcow2"))))
    assert "hot.qcow2" not in {path.readlink().name for path in Path(f"/proc/{pid}/fd").iterdir()}
    host.backend.vm.destroy(host.task, other)
    host.backend.vm.destroy(host.task, vm)
    assert not own.exists()


def test_a_qemu_that_chatters_does_not_fill_the_disk(host: Host) -> None:
    vm = host.vm()
    host.start(vm)
    pid, log = host.pid(), host.settings.run / str(host.state(vm).domids[0]) / "log"
    with Path(f"/proc/{pid}/fd/2").open("ab") as said:
        said.write(b"chatter\n" * (LOG_BYTES_MAX // 2))
        said.write(b"x: the last word\n")
    shorten(log)
    assert log.stat().st_blocks * 512 <= LOG_BYTES_MAX
    assert log.read_bytes().endswith(b"chatter\nx: the last word\n")
    assert VM in {stray.vm for stray in find_strays(host.settings.run)}
