"""The stack's command: up, down, restart, status, demo, replay; `make` calls most of it."""

import argparse
import os
import sys
from dataclasses import replace
from pathlib import Path

from bus.ports import BusError
from bus.users import commands
from worker_kvm.network import NetworkError
from worker_kvm.settings import BackendName

from stack import hypervisor, page
from stack.credentials import hand_out
from stack.demo import demo
from stack.layout import Layout
from stack.local import LocalStack
from stack.processes import StackError
from stack.replay import ServiceName, Wanted, replay
from stack.shape import SINGLE, BusKind, StoreKind
from stack.single import serve_single

ROOT = Path("var/stack")
"""Where a developer's stack lives, below the project."""

BACKEND = "XENOPS_STACK_BACKEND"
"""`simulator`: leave QEMU alone, as where it cannot run; otherwise it is looked for."""


PACKAGED = "xenops-stack"
"""Its name where it was installed by the Debian package."""


def main(arguments: list[str]) -> int:
    """Do what is asked; answers the exit code."""
    parsed = parser(PACKAGED if Path(sys.argv[0]).name == PACKAGED else "python -m stack").parse_args(
        arguments
    )
    layout = Layout(parsed.root.resolve())
    try:
        return _perform(parsed, layout)
    except (StackError, BusError, NetworkError) as error:
        hint = "\nWhat did start, runs on: `make down` ends it." if parsed.command == "up" else ""
        sys.stderr.write(f"stack: {error}{hint}\n")
        return 1


def parser(prog: str) -> argparse.ArgumentParser:
    """The whole command line, by the name of the command."""
    parser = argparse.ArgumentParser(prog=prog, description=__doc__)
    parser.add_argument(
        "--root", type=Path, default=ROOT, help="where it keeps everything (default: %(default)s)"
    )
    commanded = parser.add_subparsers(dest="command", required=True)
    up = commanded.add_parser("up", help="start the stack and keep it running")
    up.add_argument("--bus", choices=tuple(BusKind), type=BusKind, default=BusKind.RABBITMQ)
    up.add_argument("--backend", choices=tuple(BackendName), type=BackendName, default=BackendName.QEMU)
    up.add_argument("--store", choices=tuple(StoreKind), type=StoreKind, default=StoreKind.FILES)
    commanded.add_parser("down", help="stop it, and end its VMs")
    commanded.add_parser("status", help="what of it runs")
    commanded.add_parser("restart", help="restart one service").add_argument("service", nargs="?", default="")
    rights = commanded.add_parser("permissions", help="print how a broker is told who may do what")
    rights.add_argument("instances", nargs="+", metavar="INSTANCE")
    rights.add_argument("--vhost", default="/", help="the virtual host (default: %(default)s)")
    _credentials_arguments(
        commanded.add_parser("credentials", help="make a broker's users, and a file with its URL for each")
    )
    _replay_arguments(commanded.add_parser("replay", help="show what a service made of an exported log"))
    commanded.add_parser("demo", help="show a VM's life, from nothing")
    commanded.add_parser(SINGLE, help="everything in this process; `up --bus memory` starts it")
    return parser


def _credentials_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("instances", nargs="+", metavar="INSTANCE")
    parser.add_argument("--directory", type=Path, required=True, help="where a folder for each of them is")
    parser.add_argument("--broker", required=True, metavar="HOST:PORT[,...]", help="where the broker will be")


def _replay_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, metavar="FILE", help="what `xenops log --export FILE` has written")
    parser.add_argument("--service", choices=tuple(ServiceName), type=ServiceName, required=True)
    parser.add_argument("--worker", metavar="NAME", help="which worker, where there are several")
    parser.add_argument("--to", type=int, dest="last", metavar="OFFSET", help="up to there")
    parser.add_argument(
        "--steps", action="store_true", help="show each record, and what the service does on it"
    )


def _perform(parsed: argparse.Namespace, layout: Layout) -> int:
    stack = LocalStack(layout)
    match parsed.command:
        case "up":
            return _up(layout, parsed.bus, parsed.store, parsed.backend)
        case "down":
            return _down(stack, layout)
        case "status":
            return _status(stack, layout)
        case "restart":
            stack.restart(parsed.service)
            _say(f"{parsed.service} runs anew; its log is {_near(layout.log(parsed.service))}")
            return 0
        case "permissions":
            for line in commands(parsed.vhost, parsed.instances):
                _say(line)
            return 0
        case "credentials":
            hand_out(parsed.directory, parsed.broker, parsed.instances)
            return 0
        case "replay":
            wanted = Wanted(parsed.service, parsed.last, parsed.steps, parsed.worker)
            replay(parsed.file, wanted, _say)
            return 0
        case "demo":
            return demo(layout.root.with_name("demo"), _look)
        case _:
            return serve_single(layout, stack.shape)


def _look(layout: Layout) -> hypervisor.Found:
    """What the stack can be made of here."""
    if os.environ.get(BACKEND) == "simulator":
        return hypervisor.Found(
            hypervisor.simulator_only(), (f"{BACKEND} is set: the simulator serves alone",)
        )
    return hypervisor.look(layout)


def _up(layout: Layout, bus: BusKind, store: StoreKind, backend: BackendName) -> int:
    found = _look(layout)
    if backend is BackendName.LIBVIRT:
        found = hypervisor.by_libvirt(found)
    shape = replace(found.shape, bus=bus, store=store)
    stack = LocalStack(layout, shape)
    stack.up()
    runs = "in one process, without a broker" if bus is BusKind.MEMORY else "as a process each, on RabbitMQ"
    _say(f"The stack runs, {runs}: {', '.join(shape.services)}.")
    for remark in found.remarks:
        _say(f"  {remark}")
    if store is not StoreKind.FILES:
        _say(f"  metadata is in a private {store} at {_near(layout.xenstored / 'socket')}, and gone with it")
    _say(f"  logs: {_near(layout.log('*'))}")
    _say("")
    _say(f"  export XENOPS_BROKER={stack.url} XENOPS_INSTANCE={shape.instances[0]}")
    _say(f"  .venv/bin/xenops list     # {' or '.join(shape.instances)}")
    _say(f"  the message switch: {_near(layout.switch)}")
    for instance in shape.instances:
        _say(f"  {instance} as xenopsd: {_near(layout.sockets(instance) / 'xenopsd')}")
    _say(f"  operators' page: {page.url_of(layout)}  sign in with a token of {_near(layout.tokens)}")
    _say("")
    process = SINGLE if bus is BusKind.MEMORY else "frontend"
    _say(f"`make status` shows what runs, `make restart SERVICE={process}` takes up new code,")
    _say("`make down` ends all, VMs too.")
    return 0


def _down(stack: LocalStack, layout: Layout) -> int:
    was_there = layout.root.exists()
    ended = stack.down()
    _say(f"ended: {', '.join(ended.processes)}" if ended.processes else "nothing was running")
    if ended.vms:
        _say(f"VMs ended: {', '.join(ended.vms)}")
    if was_there and not layout.root.exists():
        _say(f"removed, as another version made it: {_near(layout.root)}")
    return 0


def _status(stack: LocalStack, layout: Layout) -> int:
    """Answers 1 when something should run and does not."""
    status = stack.status()
    for name, pid in status.items():
        _say(f"{name:12} {f'runs, pid {pid}' if pid else f'has ended; see {_near(layout.log(name))}'}")
    if not status:
        _say("nothing runs: `make up` starts it")
        return 0
    dead = [name for name, pid in status.items() if pid is None]
    _say("`make up` starts what is missing" if dead else f"broker: {stack.url}")
    return 1 if dead else 0


def _near(path: Path) -> str:
    """A path as short as it can be said from here."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")


if __name__ == "__main__":
    try:
        code = main(sys.argv[1:])
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read what we print, as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    sys.exit(code)
