"""Arguments: what the `xenops` command understands, and what it says about itself."""

import argparse
from collections.abc import Callable
from pathlib import Path

from xenops.command.amounts import count_of, seconds_of
from xenops.command.completion import add_completion_command
from xenops.command.config import Config
from xenops.command.devices import add_commands as add_device_commands
from xenops.command.doctor import add_doctor_command
from xenops.command.examples import with_examples
from xenops.command.lanes import add_commands as add_lane_commands
from xenops.command.log import add_log_command
from xenops.command.operations import OPERATIONS, Operation
from xenops.command.parsing import VM_HELP, Parser, ShowVersion, Subjects, listing
from xenops.command.timeline import add_timeline_command
from xenops.command.top import add_top_command
from xenops.command.watch import add_watch_command

EPILOG = """\
`xenops COMMAND --help` explains a command, with examples.

Which instance, on which broker, say --instance and --broker; else XENOPS_INSTANCE and XENOPS_BROKER; else the
file ~/.config/xenops/config.toml, or that which XENOPS_CONFIG names, with broker, instance, call_timeout and
output: "human" or "json", as XENOPS_OUTPUT. The broker is an AMQP URL, or, for services of this machine that
run without a broker, unix:///path/of/their/socket.

Exit codes: 0 done; 1 the task failed, or the service refused; 2 the command makes no sense; 3 broker or
service not reached; 4 not done in time, it goes on; 130 interrupted, it goes on.
"""

ALIASES = {
    "stat": ["vm-stat"],
    "tasks": ["task-list"],
    "cancel": ["task-cancel"],
    "vbd-eject": ["cd-eject"],
    "lanes": ["queues"],
}
"""Names that the original's command, or the operators' page, has for some of ours."""

SUBJECTS: Subjects = {
    "VMs": (
        *("list", "stat", "watch", "console", "create", "add", "remove", "export", "import"),
        *("start", "unpause", "pause", "shutdown", "reboot", "suspend", "resume", "fast-resume"),
        *("migrate", "delay", "set-vcpus", "set-memory"),
    ),
    "devices": (
        *("vbd-add", "vbd-remove", "vbd-plug", "vbd-unplug", "vbd-insert", "vbd-eject"),
        *("vif-add", "vif-remove", "vif-plug", "vif-unplug", "pci-add", "pci-remove"),
    ),
    "tasks and workers": (
        *("tasks", "cancel", "prioritise", "deadline", "lanes", "lane-hold", "lane-release"),
        *("workers", "worker-drain", "worker-undrain", "set-worker-pool-size"),
    ),
    "what happens, and whether all is well": (
        *("doctor", "top", "timeline", "log", "events", "quarantine", "diagnostics", "query"),
    ),
    "for scripts and shells": ("call", "completion"),
}
"""All commands, as `xenops --help` lists them."""


COMMON = "connection and output"
"""What may be said to every command."""

NOTHING = Config()
"""Of somebody who has said nothing."""


def parser(config: Config = NOTHING) -> argparse.ArgumentParser:
    """The parser of the whole command line, with defaults from environment and configuration file."""
    top = Parser(
        prog="xenops",
        description="Manage the virtual machines of one xenops instance.",
        epilog=EPILOG,
        formatter_class=listing(SUBJECTS),
    )
    commands = top.add_subparsers(title="commands", dest="command", metavar="COMMAND", required=True)
    top.add_argument("--version", action=ShowVersion, help="show the version and end")
    _connection(top, config)
    everywhere = Parser(add_help=False, argument_default=argparse.SUPPRESS)
    _connection(everywhere, None)

    def command(name: str, sentence: str) -> argparse.ArgumentParser:
        made = commands.add_parser(
            name,
            help=sentence,
            description=f"{sentence[0].upper()}{sentence[1:]}.",
            formatter_class=argparse.RawDescriptionHelpFormatter,
            parents=[everywhere],
            aliases=ALIASES.get(name, []),
        )
        made.set_defaults(command=name)
        return made

    for name, operation in OPERATIONS.items():
        _operation(command(name, operation.sentence), operation)
    _vms(command)
    _host(command)
    add_device_commands(command)
    add_lane_commands(command)
    add_log_command(command)
    add_doctor_command(command)
    add_timeline_command(command)
    add_top_command(command)
    add_watch_command(command)
    add_completion_command(command)
    with_examples(commands.choices)
    return top


Command = Callable[[str, str], argparse.ArgumentParser]
"""Makes the parser of a command from its name and what it does."""


def _vms(command: Command) -> None:
    for name, sentence in (
        ("add", "make the VM of a file known, with its devices"),
        ("create", "make the VM of a file known, start it, and let it run"),
    ):
        add = command(name, sentence)
        add.epilog = _vm_file_format()
        add.add_argument("file", type=Path, metavar="FILE.json", help="the VM file")
    export = command("export", "write all that is known of a VM to a file, for `xenops import`")
    export.add_argument("vm", metavar="VM", help=VM_HELP)
    export.add_argument("--file", "--filename", type=Path, metavar="FILE", help="instead of standard output")
    command("import", "make a VM known by what export has written").add_argument(
        "file", type=Path, metavar="FILE", help="- is standard input"
    )
    command("list", "show all VMs")
    for name, sentence in (
        ("remove", "forget a halted VM and its devices"),
        ("stat", "show one VM and its devices"),
        ("console", "attach this terminal to a VM's text console; Ctrl and ] leaves it"),
    ):
        command(name, sentence).add_argument("vm", metavar="VM", help=VM_HELP)


def _host(command: Command) -> None:
    command("tasks", "show all tasks: what runs, what waits, and what has ended and was not looked at")
    command("cancel", "ask a task to stop").add_argument(
        "task", metavar="TASK", help="as `xenops tasks` shows it"
    )
    events = command("events", "show what has changed, or, with --follow, what changes")
    events.add_argument("--follow", action="store_true", help="go on until interrupted")
    events.add_argument("--token", type=int, help="only what changed since this token")
    quarantine = command("quarantine", "show what stands in the log and no service takes, and why")
    quarantine.add_argument("offset", type=int, metavar="OFFSET", nargs="?", help="only that, as far as kept")
    command("diagnostics", "show queues, workers, tasks and updates")
    command("query", "show who serves this instance, and what the host is")
    size = command("set-worker-pool-size", "change how many VMs a worker operates on at a time")
    size.add_argument("size", type=count_of, metavar="SIZE", help="so many VMs")
    call = command("call", "perform any method of the interface by its wire name")
    call.add_argument("method", metavar="METHOD", nargs="?", help="as VM.s3suspend")
    call.add_argument("parameters", metavar="NAME=VALUE", nargs="*", help="a value is JSON, or a plain text")
    call.add_argument("--list", action="store_true", help="show all methods with their parameters")


def _connection(to: argparse.ArgumentParser, config: Config | None) -> None:
    """The options that stand before or after the command; after it, they have no defaults of their own."""
    options = to.add_argument_group(COMMON)
    broker = options.add_argument(
        "--broker", metavar="URL", help="as amqp://user:secret@host:5672/, or unix:///path/of/socket"
    )
    instance = options.add_argument("--instance", metavar="NAME", help="as org.xen.xapi.xenops.qemu")
    as_json = options.add_argument(
        "--json", action=argparse.BooleanOptionalAction, help="JSON on stdout, one value a line"
    )
    patience = options.add_argument(
        "--call-timeout", type=seconds_of, metavar="SECONDS", help="how long one call may take (default 60)"
    )
    if config is not None:
        broker.default = config.broker
        instance.default = config.instance
        as_json.default = config.output == "json"
        patience.default = config.call_timeout


def _operation(command: argparse.ArgumentParser, operation: Operation) -> None:
    command.add_argument("vm", metavar="VM", help=VM_HELP)
    operation.arguments(command)
    waiting = command.add_mutually_exclusive_group()
    waiting.add_argument("--no-wait", action="store_true", help="print the task's id and end")
    waiting.add_argument("--wait", type=seconds_of, metavar="SECONDS", help="wait no longer than that")


def _vm_file_format() -> str:
    from xenops import vmfile  # noqa: PLC0415  only --help needs its words

    return vmfile.__doc__ or ""
