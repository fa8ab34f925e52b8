"""Arguments: what the `xenops` command understands, and what it says about itself."""

import argparse
from collections.abc import Mapping
from pathlib import Path

EPILOG = """\
Which instance, on which broker, say --instance and --broker, or XENOPS_INSTANCE and XENOPS_BROKER.

Exit codes: 0 done; 1 the task failed, or the service refused; 2 the command makes no sense; 3 broker or
service not reached; 4 not done in time, it goes on; 130 interrupted, it goes on.
"""

OPERATIONS = {
    "start": "start a halted VM; it is left paused",
    "shutdown": "stop a VM: by force, or, with --timeout, by asking the guest first",
    "reboot": "stop a VM as shutdown does, and start it again",
    "pause": "stop a VM's CPUs",
    "unpause": "let a VM's CPUs run",
}
"""Commands on a VM that make a task and wait for it."""


def parser(environment: Mapping[str, str]) -> argparse.ArgumentParser:
    """The parser of the whole command line, with defaults from the environment."""
    top = argparse.ArgumentParser(
        prog="xenops",
        description="Manage the virtual machines of one xenops instance.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _connection(top, environment)
    everywhere = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    _connection(everywhere, None)
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)

    def command(name: str, sentence: str) -> argparse.ArgumentParser:
        return commands.add_parser(name, help=sentence, description=f"{sentence}.", parents=[everywhere])

    for name, sentence in OPERATIONS.items():
        _operation(command(name, sentence))
    add = command("add", "make the VM of a file known, with its devices")
    add.formatter_class = argparse.RawDescriptionHelpFormatter
    add.epilog = _vm_file_format()
    add.add_argument("file", type=Path, metavar="FILE.json", help="the VM file")
    command("remove", "forget a halted VM and its devices").add_argument("vm", metavar="VM")
    command("list", "show all VMs")
    command("stat", "show one VM and its devices").add_argument("vm", metavar="VM")
    command("tasks", "show all tasks")
    command("cancel", "ask a task to stop").add_argument("task", metavar="TASK")
    events = command("events", "show what has changed, or, with --follow, what changes")
    events.add_argument("--follow", action="store_true", help="go on until interrupted")
    events.add_argument("--token", type=int, help="only what changed since this token")
    command("diagnostics", "show queues, workers, tasks and updates")
    return top


def _connection(to: argparse.ArgumentParser, environment: Mapping[str, str] | None) -> None:
    """The options that stand before or after the command; after it, they have no defaults of their own."""
    options = to.add_argument_group("connection and output")
    broker = options.add_argument("--broker", metavar="URL", help="as amqp://user:secret@host:5672/")
    instance = options.add_argument("--instance", metavar="NAME", help="as org.xen.xapi.xenops.qemu")
    as_json = options.add_argument("--json", action="store_true", help="JSON on stdout, one value a line")
    patience = options.add_argument(
        "--call-timeout", type=float, metavar="SECONDS", help="how long one call may take (default 60)"
    )
    if environment is not None:
        broker.default = environment.get("XENOPS_BROKER")
        instance.default = environment.get("XENOPS_INSTANCE")
        as_json.default = False
        patience.default = 60.0


def _operation(command: argparse.ArgumentParser) -> None:
    command.add_argument("vm", metavar="VM", help="its id, as `xenops list` shows it")
    waiting = command.add_mutually_exclusive_group()
    waiting.add_argument("--no-wait", action="store_true", help="print the task's id and end")
    waiting.add_argument("--wait", type=float, metavar="SECONDS", help="wait no longer than that")
    if command.prog.split()[-1] in {"shutdown", "reboot"}:
        command.add_argument(
            "--timeout", type=float, metavar="SECONDS", help="ask the guest, and wait so long for it to end"
        )


def _vm_file_format() -> str:
    from xenops.command import vmfile  # noqa: PLC0415  only --help needs its words

    return vmfile.__doc__ or ""
