"""The `xenops` command: arguments in, exit code out, errors in words."""

import getpass
import logging
import os
import socket
import sys
from argparse import Namespace
from collections.abc import Callable, Sequence

from bus.ports import BusAddressError, BusError, RequestTimeoutError
from schema.fault import XenopsError
from schema.objects.errors import Error
from schema.rpc import ResponseError
from schema.wire.codec import to_rpc
from schema.wire.value import Dict

from xenops.client import Client, connect
from xenops.command.actions import run
from xenops.command.arguments import parser
from xenops.command.completion import complete, print_completion
from xenops.command.config import ConfigError, read_config
from xenops.command.console import ConsoleError
from xenops.command.doctor import ASK_S, Doors, examine
from xenops.command.log import LogFileError, show_log
from xenops.command.operate import InterruptedWaitError
from xenops.command.parsing import UsageError
from xenops.command.raw import CallError
from xenops.command.screen import Screen, Shown, screen_for
from xenops.command.timeline import TimelineError, show_timeline
from xenops.command.top import beginning, show_top, watched
from xenops.events import WaitTimeoutError
from xenops.log import Log, open_log
from xenops.sentences import sentence
from xenops.vmfile import VmFileError

DONE, FAILED, USAGE, UNREACHABLE, TIMEOUT, INTERRUPTED = 0, 1, 2, 3, 4, 130
"""Exit codes; `xenops --help` explains them."""

Connect = Callable[[Namespace], Client]
OpenLog = Callable[[Namespace], Log]


def main(
    argv: Sequence[str] | None = None, connect_to: Connect | None = None, log_of: OpenLog | None = None
) -> int:
    """Do one command line; answers the exit code. `connect_to` and `log_of` open what is there."""
    try:
        known = parser(read_config(os.environ))
    except ConfigError as error:
        sys.stderr.write(f"xenops: {error}\n")
        return USAGE
    complete(known, connect_to or _connect)
    if not (sys.argv[1:] if argv is None else argv):
        known.print_help(sys.stderr)
        return USAGE
    arguments, rest = known.parse_known_args(argv)
    if rest:
        wanted = f"{known.prog} {arguments.command}"
        known.exit(USAGE, f"{wanted}: nothing can be done with {' '.join(rest)}; see `{wanted} --help`\n")
    screen = screen_for(as_json=arguments.json)
    try:
        return _do(arguments, screen, connect_to or _connect, log_of or _open_log)
    except Exception as error:  # noqa: BLE001  the top of the program: `_code_of` raises again what is a bug
        return _fail(screen, error)
    except KeyboardInterrupt:
        return INTERRUPTED


def _do(arguments: Namespace, screen: Screen, connect_to: Connect, log_of: OpenLog) -> int:
    match arguments.command:
        case "completion":
            print_completion(arguments.shell)
        case "doctor":
            return DONE if examine(_doors(arguments, connect_to, log_of), arguments, screen) else FAILED
        case "log":
            with log_of(arguments) as log:
                show_log(log, arguments, screen)
        case "timeline":
            with log_of(arguments) as log:
                show_timeline(log, arguments, screen)
        case "top":
            with (
                connect_to(arguments) as client,
                watched(lambda: log_of(arguments), beginning(client)) as seen,
            ):
                show_top(client, seen, arguments, screen)
        case _:
            with connect_to(arguments) as client:
                run(client, arguments, screen)
    return DONE


def _doors(arguments: Namespace, connect_to: Connect, log_of: OpenLog) -> Doors:
    """The ways to each of the instances that are named."""
    if not arguments.broker or not arguments.instance:
        _check(arguments)

    def of(instance: str) -> Namespace:
        patience_s = min(ASK_S, arguments.call_timeout)
        return Namespace(**{**vars(arguments), "instance": instance, "call_timeout": patience_s})

    return Doors(lambda instance: connect_to(of(instance)), lambda instance: log_of(of(instance)))


def _connect(arguments: Namespace) -> Client:
    _check(arguments)
    return connect(
        arguments.broker, arguments.instance, dbg=f"xenops:{_who()}", timeout_s=arguments.call_timeout
    )


def _who() -> str:
    """Who asks, as tasks and what operators asked for show him: nobody proves it."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a number that has no name, as in a container
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"


def _open_log(arguments: Namespace) -> Log:
    _check(arguments)
    return open_log(arguments.broker, arguments.instance, timeout_s=arguments.call_timeout)


def _check(arguments: Namespace) -> None:
    if not arguments.broker:
        raise UsageError(
            "which broker? Give --broker, or set XENOPS_BROKER, as amqp://user:secret@host:5672/ "
            "or unix:///path/of/socket"
        )
    if not arguments.instance or "," in arguments.instance:
        raise UsageError("which instance? Give --instance, or set XENOPS_INSTANCE, to one name")


def _fail(screen: Screen, error: Exception) -> int:
    """Tell what went wrong; answers the exit code."""
    code = _code_of(error)
    words = sentence(error.error) if isinstance(error, XenopsError) else str(error)
    wire = to_rpc(Error, error.error) if isinstance(error, XenopsError) else None
    screen.show(Shown(Dict([("error", wire), ("message", words)])))
    screen.say(f"xenops: {words}")
    return code


def _code_of(error: Exception) -> int:
    match error:
        case XenopsError() | ResponseError() | ConsoleError() | TimelineError():
            return FAILED
        case UsageError() | VmFileError() | LogFileError() | CallError() | BusAddressError():
            return USAGE
        case WaitTimeoutError() | RequestTimeoutError():
            return TIMEOUT
        case BusError():
            return UNREACHABLE
        case InterruptedWaitError():
            return INTERRUPTED
        case _:
            raise error


def entry() -> None:
    """The console script: what libraries log on the way is summed up by the one sentence at the end.

    But what the client waits for is said when the wait begins.
    """
    logging.basicConfig(level=logging.CRITICAL)
    waits, said = logging.getLogger("xenops"), logging.StreamHandler()
    said.setFormatter(logging.Formatter("xenops: %(message)s"))
    waits.addHandler(said)
    waits.setLevel(logging.WARNING)
    waits.propagate = False
    try:
        code = main()
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read what we print, as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = FAILED
    sys.exit(code)
