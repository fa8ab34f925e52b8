"""Demo: from nothing to a VM that runs and back, through every service and a real broker."""

import fcntl
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from bus.ports import BusError
from schema.fault import XenopsError
from schema.objects.vm import PowerState
from worker_kvm.network import NetworkError

from stack import remains
from stack.console import Console
from stack.hypervisor import Found, simulator_only
from stack.layout import Layout
from stack.local import LocalStack
from stack.operator import DEMO, Operator, VmFiles, guest_beside
from stack.processes import StackError
from stack.promises import promises
from stack.shape import QEMU_INSTANCE, SIMULATOR_INSTANCE
from stack.teller import NobodyListensError, Teller

USERLAND_IS_UP = "xenops guest: userland is up"
"""How the line of the guest's console begins that we wait for; see tools/guest-init."""

USERLAND_TIMEOUT_S = 60.0
"""Under emulation it takes two seconds on an idle machine."""

_AS_ON_QEMU = {"XENOPS_SIM_STARTS": "paused"}
"""The simulator's VMs wait for VM.unpause, as all others do; the original's run from their start on."""

_ENDINGS = (signal.SIGTERM, signal.SIGHUP)
INTERRUPTED = 130

Look = Callable[[Layout], Found]
"""What the stack can be made of on this machine."""


class DemoEndedError(Exception):
    """Somebody wants the demo to end."""


@dataclass(frozen=True, slots=True)
class _Scene:
    """What every step of the story needs."""

    layout: Layout
    teller: Teller
    stack: LocalStack
    operator: Operator


def demo(root: Path, look: Look) -> int:
    """Run it below `root`, which is emptied before, and is kept only for its logs; answers the exit code."""
    with _alone(root.with_suffix(".lock")):
        return _demo(Layout(root), Teller(sys.stdout), look)


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Two demos would end each other's processes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StackError(f"another demo holds {path}: wait until it has ended") from None
        try:
            yield
        finally:
            path.unlink()


def _demo(layout: Layout, teller: Teller, look: Look) -> int:
    begun = time.monotonic()
    around = remains.surroundings(_places())
    code = 1
    with _ends_by_signal():
        try:
            _forget(layout)
            _story(layout, teller, look)
            code = 0
        except (StackError, BusError, XenopsError, NetworkError) as error:
            words = "\n".join([f"\nThe demo failed: {error}", *LocalStack(layout).dead()])
            if not teller.trouble(words):  # a command failed because nobody read it any more
                code = INTERRUPTED
        except (KeyboardInterrupt, DemoEndedError, NobodyListensError):
            teller.trouble("\ninterrupted: the demo ends what it has started")
            code = INTERRUPTED
        finally:
            left = _clean_up(layout, around, keep=code == 1)
    with suppress(NobodyListensError):
        _conclude(teller, layout, left, time.monotonic() - begun if code == 0 else None)
    return code or (1 if left else 0)


def _story(layout: Layout, teller: Teller, look: Look) -> None:
    teller.heading("Xenops on a message bus: one VM's life, through every service and a real RabbitMQ")
    found = _with_guest(look(layout), layout)
    stack = LocalStack(layout, found.shape, environment=_AS_ON_QEMU)
    _start_the_stack(layout, teller, stack, found)
    has_qemu = QEMU_INSTANCE in found.shape.instances
    files = VmFiles(layout)
    operator = Operator(layout, stack, teller, QEMU_INSTANCE if has_qemu else SIMULATOR_INSTANCE)
    scene = _Scene(layout, teller, stack, operator)
    _live(scene, files.with_guest() if has_qemu else files.without_guest())
    if has_qemu:
        _live_simulated(scene, files.without_guest())


def _with_guest(found: Found, layout: Layout) -> Found:
    """Without a guest, QEMU has nothing to run."""
    if QEMU_INSTANCE not in found.shape.instances or guest_beside(layout).is_there:
        return found
    return Found(
        simulator_only(), ("QEMU has no guest to run (`make setup` builds it): the simulator serves alone",)
    )


def _start_the_stack(layout: Layout, teller: Teller, stack: LocalStack, found: Found) -> None:
    teller.heading("The stack")
    for remark in found.remarks:
        teller.remark(remark)
    begun = time.monotonic()
    stack.up()
    teller.remark(f"RabbitMQ, a private node: {stack.url}")
    teller.remark(f"processes: {', '.join(stack.shape.services)}; they answer after {_since(begun)}")
    teller.remark(f"all of it is below {layout.root}, and ends with the demo")


def _live(scene: _Scene, vm_file: Path) -> None:
    """The VM's life, as an operator would lead it."""
    xenops = scene.operator.xenops
    scene.teller.heading("A VM with a qcow2 disk, a raw disk and a network interface")
    scene.operator.introduce()
    xenops("add", str(vm_file))
    scene.teller.heading("Start: the VM is built, and paused")
    xenops("start", DEMO)
    _check(scene, PowerState.PAUSED, in_full=True)
    with _listening(scene) as console:
        scene.teller.heading("Unpause: the guest boots")
        xenops("unpause", DEMO)
        if console is not None:
            _await_userland(scene.teller, console)
        _check(scene, PowerState.RUNNING, in_full=False)
        scene.teller.heading("Shut down cleanly: the guest is asked, and ends by itself")
        xenops("shutdown", DEMO, "--timeout", "60")
        if console is not None:
            _last_words(scene.teller, console)
    xenops("remove", DEMO)
    xenops("list")


def _live_simulated(scene: _Scene, vm_file: Path) -> None:
    """The same bus serves the simulator's instance, too."""
    scene.teller.heading("The same on the simulator's instance, in short")
    there = Operator(scene.layout, scene.stack, scene.teller, SIMULATOR_INSTANCE)
    there.introduce()
    there.xenops("add", str(vm_file), quiet=True)
    there.xenops("start", DEMO)
    there.xenops("shutdown", DEMO)
    there.xenops("remove", DEMO, quiet=True)


def _check(scene: _Scene, power_state: PowerState, *, in_full: bool) -> None:
    """Hold the walkthrough's promises against the VM as it is; a broken one is told in any case."""
    found = promises(scene.operator.seen(), power_state)
    scene.teller.remark("what docs/walkthroughs/vm-start.md promises:")
    told = [promise for promise in found if in_full or not promise.kept] or found[:1]
    for promise in told:
        scene.teller.remark(f"  {'kept  ' if promise.kept else 'BROKEN'}  {promise.words}")
    if not all(promise.kept for promise in found):
        raise StackError("a promise of the walkthrough is broken, see above")
    if len(told) < len(found):
        scene.teller.remark(f"  kept    and the {len(found) - len(told)} others as before")


@contextmanager
def _listening(scene: _Scene) -> Iterator[Console | None]:
    """The guest's console, from before its first word on; none where there is no guest."""
    path = scene.operator.console()
    if path is None:
        scene.teller.remark("there is no guest, so there is no console to listen to")
        yield None
        return
    with Console(path, scene.layout.log("console")) as console:
        yield console


def _await_userland(teller: Teller, console: Console) -> None:
    begun = time.monotonic()
    for line in console.lines(USERLAND_TIMEOUT_S):
        teller.heard(line)
        if line.startswith(USERLAND_IS_UP):
            teller.remark(f"{_since(begun)} after unpause")
            return
    raise StackError(f"the guest's userland is not up {_since(begun)} after unpause; its console is above")


def _last_words(teller: Teller, console: Console) -> None:
    for line in console.lines(1.0):
        if line.strip():
            teller.heard(line)


def _conclude(teller: Teller, layout: Layout, left: tuple[str, ...], took_s: float | None) -> None:
    teller.heading("Afterwards")
    if left:
        teller.trouble("\n".join(["left behind:", *(f"  {trace}" for trace in left)]))
        return
    teller.remark("nothing is left behind; looked for: processes with the demo's mark, its namespace, its")
    teller.remark("bridge, files of RabbitMQ or QEMU in the home, temporary and current directories")
    if layout.root.exists():
        teller.remark(f"logs are kept in {layout.log('').parent}, until the next demo")
    if took_s is not None:
        teller.remark(f"done in {took_s:.1f} s")


def _clean_up(layout: Layout, around: frozenset[str], *, keep: bool) -> tuple[str, ...]:
    """End everything, whatever else is asked meanwhile; answers what is left all the same."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, *_ENDINGS)}
    try:
        LocalStack(layout).down()
        if not keep:
            shutil.rmtree(layout.root, ignore_errors=True)
        return _left(layout, around)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _forget(layout: Layout) -> None:
    """End and remove what an earlier demo left that was killed, or failed and kept its logs."""
    LocalStack(layout).down()
    shutil.rmtree(layout.root, ignore_errors=True)


def _left(layout: Layout, around: frozenset[str]) -> tuple[str, ...]:
    processes = [f"process {process.pid}" for process in remains.processes(layout)]
    namespaces = [f"network namespace {layout.namespace}"] if remains.has_namespace(layout) else []
    return (*processes, *namespaces, *sorted(remains.surroundings(_places()) - around))


def _places() -> tuple[Path, ...]:
    """Where programs leave files when nobody tells them where to."""
    return (Path.cwd(), Path.home(), Path(tempfile.gettempdir()))


@contextmanager
def _ends_by_signal() -> Iterator[None]:
    """A request to end becomes an error, so that it ends what was started."""

    def end(number: int, _frame: FrameType | None) -> None:
        raise DemoEndedError(signal.Signals(number).name)

    before = {number: signal.signal(number, end) for number in _ENDINGS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _since(begun: float) -> str:
    return f"{time.monotonic() - begun:.1f} s"
