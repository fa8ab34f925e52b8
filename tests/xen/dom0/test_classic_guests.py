"""Real guests on classic: they end by themselves, rest in images and go on, move, and find no room."""

import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from classic_subject import ClassicSubject
from engine.backend import CreateOptions, Devices
from engine.conformance import SuiteExecution
from engine.conformance.subject import Life, make_life, refusal
from leftovers import await_no_more_than, nothing_left, of_domains
from schema.atomics.vm import DomainAction
from schema.fault import XenopsError
from schema.objects.disk import LocalDisk
from schema.objects.dynamic import VmObject
from schema.objects.errors import InternalError, NotEnoughMemory
from schema.objects.vif import Locked, LockedAddresses, Unlocked
from schema.objects.vm import PowerState, Pv, SchedulerParams
from xen_guests import PATIENCE_S, await_words, info
from xen_lives import Shell, ends_when_asked, moves, rests, resume

POPCNT = 1 << 23
"""In the second word of a policy: leaf 1, ECX."""


@pytest.fixture(name="subject", scope="module")
def make_subject(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClassicSubject]:
    with nothing_left():
        subject = ClassicSubject(tmp_path_factory.mktemp("classic"))
        yield subject
        subject.end()


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    with nothing_left():
        yield


def bare(subject: ClassicSubject, *words: str) -> Life:
    return Life(subject, subject.vm(*words), Devices())


def until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < end, "it does not come"
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("does", "action"),
    [
        ("poweroff", DomainAction.POWEROFF),
        ("reboot", DomainAction.REBOOT),
        ("panic", DomainAction.CRASHDUMP),
    ],
)
def test_a_guest_that_ends_by_itself_says_how(
    subject: ClassicSubject, does: str, action: DomainAction
) -> None:
    life = bare(subject, f"xenops.then={does}")
    life.start()
    subject.changed.clear()
    subject.backend.vm.unpause(SuiteExecution(), life.vm)
    until(lambda: subject.backend.vm.get_domain_action_request(life.vm) is not None)
    assert subject.backend.vm.get_domain_action_request(life.vm) is action
    until(lambda: VmObject(id=life.vm.id) in subject.changed)
    life.stop()


def test_a_guest_that_suspends_unasked_says_so(subject: ClassicSubject) -> None:
    """By somebody's word who is not the worker; nothing has its memory, so the VM is to be shut down."""
    life = bare(subject)
    life.start()
    subject.let_boot(life.vm)
    subject.changed.clear()
    [domid] = subject.backend.vm.get_state(life.vm).domids
    subprocess.run(["xenstore-write", f"/local/domain/{domid}/control/shutdown", "suspend"], check=True)
    until(lambda: subject.backend.vm.get_domain_action_request(life.vm) is DomainAction.SUSPEND)
    until(lambda: VmObject(id=life.vm.id) in subject.changed)
    life.stop()


def test_a_guest_rests_in_an_image_and_goes_on_where_it_was(subject: ClassicSubject) -> None:
    """What its shell was told before, it knows afterwards; its disk and its interface are there."""
    life = make_life(subject)
    life.start()
    subject.let_boot(life.vm)
    shell = Shell(subject, life.vm)
    shell.tell("kept=resting; echo kept is $kept")
    await_words(life.vm.id, "kept is resting")
    rests(subject, life)
    shell.tell("echo after the rest kept is $kept; cat /sys/block/xvda/size /sys/class/net/eth0/address")
    await_words(life.vm.id, "after the rest kept is resting")
    await_words(life.vm.id, "00:16:3e:00:00:00")
    ends_when_asked(subject, life.vm)
    life.stop()


def test_a_guest_moves_through_a_connection_into_another_domain(subject: ClassicSubject) -> None:
    """It remembers what it was told."""
    life = make_life(subject)
    life.start()
    subject.let_boot(life.vm)
    shell = Shell(subject, life.vm)
    shell.tell("kept=moving; echo kept is $kept")
    await_words(life.vm.id, "kept is moving")
    moves(subject, life, live=True)
    shell.tell("echo after the journey kept is $kept")
    await_words(life.vm.id, "after the journey kept is moving")
    ends_when_asked(subject, life.vm)
    life.stop()


def _with(at: int, data: bytes) -> Callable[[bytes], bytes]:
    """Something else at a place of libxc's record."""

    def damage(image: bytes) -> bytes:
        place = image.index(b"XENF") - 8 + at
        return image[:place] + data + image[place + len(data) :]

    return damage


HOSTILE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "another signature": lambda image: b"x" + image[1:],
    "ends in its head": lambda image: image[:200],
    "ends in its memory": lambda image: image[: len(image) // 2],
    "lacks its end": lambda image: image[:-16],
    "no marker": _with(0, bytes(8)),
    "a version of the future": _with(12, b"\xff" * 4),
    "pages of another size": _with(24 + 4, b"\xff\xff"),
    "a record of 4 GiB": _with(40 + 4, b"\xff" * 4),
    "a record of no known kind": _with(40, b"\x7f\xff\xff\x7f"),
    "pages of nowhere": lambda image: image[: len(image) // 2] + b"\xff" * (len(image) // 2),
}
"""What may be wrong with an image that libxc is to read."""


def test_hostile_images_are_refused_and_nothing_is_lost(subject: ClassicSubject) -> None:
    """Each with a sentence; the VM is suspended as before, and resumes from the whole image."""
    before = of_domains()
    life, image, verbs = bare(subject), subject.make_image(), subject.backend.vm
    assert isinstance(image, LocalDisk)
    life.start()
    subject.let_boot(life.vm)
    verbs.save(SuiteExecution(), life.vm, image, live=False)
    life.stop()
    whole = Path(image.path).read_bytes()
    bad = subject.make_image()
    assert isinstance(bad, LocalDisk)
    for name, damage in HOSTILE.items():
        Path(bad.path).write_bytes(damage(whole))
        life.start_steps()[0](SuiteExecution())
        error = refusal(partial(verbs.restore, SuiteExecution(), life.vm, Devices(), bad))
        assert isinstance(error, InternalError), name
        assert len(error.message) > 20, name
        life.stop()
        assert verbs.get_state(life.vm).power_state is PowerState.SUSPENDED, name
        await_no_more_than(before)
    resume(life, lambda task: verbs.restore(task, life.vm, Devices(), image))
    ends_when_asked(subject, life.vm)
    life.stop()


def test_a_guest_larger_than_the_host_is_refused_with_what_is_missing(subject: ClassicSubject) -> None:
    free = subject.backend._hypervisor.xen.host().memory_free_bytes
    size = (free // (1 << 20) + 100) << 20
    memory = {"memory_static_max": size, "memory_dynamic_max": size, "memory_dynamic_min": size}
    vm = subject.make_vm().model_copy(update=memory)
    life = Life(subject, vm, Devices())
    error = refusal(life.start)
    assert isinstance(error, NotEnoughMemory)
    assert abs(error.needed_bytes - (size - free)) < 4 << 20
    life.stop()


def test_a_kernel_that_is_not_there_is_named(subject: ClassicSubject) -> None:
    ty = Pv(info=info())
    boot = ty.info.boot.boot.model_copy(update={"kernel": "/boot/nonesuch"})
    wrong = ty.info.model_copy(update={"boot": ty.info.boot.model_copy(update={"boot": boot})})
    vm = subject.make_vm().model_copy(update={"ty": Pv(info=wrong)})
    create = partial(subject.backend.vm.create, SuiteExecution(), vm, Devices(), CreateOptions())
    with pytest.raises(XenopsError, match="/boot/nonesuch"):
        create()


def is_alive(pid: str) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except OSError:
        return False


def test_a_hotplug_script_that_blocks_is_cancelled_with_all_that_it_started(
    subject: ClassicSubject, tmp_path: Path
) -> None:
    life, pids, script = bare(subject), tmp_path / "pids", tmp_path / "block-hangs"
    life.start()
    script.write_text(f"#!/bin/sh\nsleep 100000 &\necho $$ $! > {pids}.draft\nmv {pids}.draft {pids}\nwait\n")
    script.chmod(0o755)
    vbd = subject.make_vbd(life.vm, 0)
    vbd = vbd.model_copy(update={"extra_backend_keys": (("script", str(script)),)})
    task, verbs, errors = SuiteExecution(), subject.backend.vbd, list[str]()
    verbs.attach(task, life.id, vbd)
    activate = partial(verbs.activate, task, life.id, vbd)
    thread = threading.Thread(target=lambda: errors.append(refusal(activate).kind))
    thread.start()
    until(pids.exists)
    task.cancel()
    thread.join()
    assert errors == ["Cancelled"]
    until(lambda: not any(is_alive(pid) for pid in pids.read_text().split()))
    assert not verbs.get_state(life.id, vbd).plugged
    life.stop()


def test_a_guest_that_is_locked_to_an_address_is_heard_by_no_other(subject: ClassicSubject) -> None:
    """And, unlocked again, by any."""
    life, verbs = make_life(subject), subject.backend.vif
    vif = life.devices.vifs[0]
    locked = Locked(addresses=LockedAddresses(ipv4=("10.9.0.1",), ipv6=()))
    subprocess.run(["ip", "address", "replace", "10.9.0.254/24", "dev", "xenbr0"], check=True)
    life.start()
    subject.let_boot(life.vm)
    shell = Shell(subject, life.vm)
    shell.tell("reach() { ping -c 1 -W 2 10.9.0.254 && echo by $1 heard || echo by $1 not-heard; }")
    shell.tell("ip link set eth0 up; ip address add 10.9.0.1/24 dev eth0; until reach .; do :; done")
    verbs.set_locking_mode(SuiteExecution(), life.id, vif, locked)
    for address, mode, what in (
        ("1", locked, "heard"),
        ("2", locked, "not-heard"),
        ("2", Unlocked(), "heard"),
    ):
        verbs.set_locking_mode(SuiteExecution(), life.id, vif, mode)
        name = f"{address}-{mode.kind}"
        shell.tell(f"ip address flush dev eth0; ip address add 10.9.0.{address}/24 dev eth0; reach {name}")
        await_words(life.vm.id, f"by {name} {what}")
    life.stop()


def test_a_guest_has_the_cpu_that_its_platform_keys_say(subject: ClassicSubject) -> None:
    """Its kernel tells of no feature that was taken away, and of all others."""
    policy = subject.backend.host.stat().cpu_info.features_pv.split("-")
    without = "-".join([policy[0], f"{int(policy[1], 16) & ~POPCNT:08x}", *policy[2:]])
    for words, what in ((policy, "has 1"), (without.split("-"), "has 0")):
        vm = subject.vm().model_copy(update={"platformdata": (("featureset", "-".join(words)),)})
        life = Life(subject, vm, Devices())
        life.start()
        subject.let_boot(vm)
        Shell(subject, vm).tell("echo has $(grep -c -w popcnt /proc/cpuinfo)")
        await_words(vm.id, what)
        life.stop()


def test_a_guest_has_its_share_of_the_cpus(subject: ClassicSubject) -> None:
    """As Xen's own tool tells it."""
    for priority, told in (((512, 50), ("512", "50")), ((0, 0), ("256", "0"))):
        params = SchedulerParams(priority=priority, affinity=())
        life = Life(subject, subject.vm().model_copy(update={"scheduler_params": params}), Devices())
        life.start()
        [domid] = subject.backend.vm.get_state(life.vm).domids
        words = ["xl", "sched-credit2", "-d", str(domid)]
        line = subprocess.run(words, capture_output=True, text=True, check=True).stdout.splitlines()[-1]
        assert tuple(line.split()[-2:]) == told
        life.stop()
