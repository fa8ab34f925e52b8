"""What the command is told by its configuration file and variables; what it tells shells and man."""

import os
import subprocess
import sys
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from bus.ports import BusUnavailableError
from fake_instance import FakeInstance
from fake_states import STATE
from xenops import Client
from xenops.command import main as command
from xenops.command.arguments import ALIASES, parser
from xenops.command.completion import SHELLS, completer_of
from xenops.command.config import Config, ConfigError, place_of, read_config
from xenops.command.manual import manual
from xenops.vmfile import parse_vm_file

Capture = pytest.CaptureFixture[str]
Write = Callable[[str], dict[str, str]]
VM = parse_vm_file('{"vm": {"id": "web1"}}', Path("/x")).vm
PRIVATE, PUBLIC = 0o600, 0o644


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes the file; answers an environment in which it counts."""

    def write(text: str) -> dict[str, str]:
        path = tmp_path / "xenops" / "config.toml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        path.chmod(PRIVATE)
        return {"XDG_CONFIG_HOME": str(tmp_path)}

    return write


def test_the_file_is_where_the_desktop_has_such_files() -> None:
    assert place_of({"HOME": "/h"}) == Path("/h/.config/xenops/config.toml")
    assert place_of({"HOME": "/h", "XDG_CONFIG_HOME": "/c"}) == Path("/c/xenops/config.toml")
    assert place_of({"HOME": "/h", "XENOPS_CONFIG": "/x.toml"}) == Path("/x.toml")


def test_an_option_counts_before_a_variable_and_that_before_the_file(write: Write) -> None:
    told = write('broker = "amqp://file/"\ninstance = "file"\noutput = "json"\ncall_timeout = 5')
    config = read_config({**told, "XENOPS_INSTANCE": "variable"})
    assert config == Config(broker="amqp://file/", instance="variable", output="json", call_timeout=5.0)
    given = parser(config).parse_args(["--broker", "amqp://option/", "list", "--no-json"])
    assert (given.broker, given.instance, given.json, given.call_timeout) == (
        "amqp://option/",
        "variable",
        False,
        5.0,
    )
    assert parser(config).parse_args(["list"]).json is True
    assert read_config({**told, "XENOPS_OUTPUT": "human"}).output == "human"


def test_who_has_written_nothing_down_has_nothing(tmp_path: Path) -> None:
    assert read_config({"XDG_CONFIG_HOME": str(tmp_path)}) == Config()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("broker = ", "is no TOML"),
        ("brocker = 1", "brocker is no setting: there are broker, instance"),
        ('output = "xml"', "output: Input should be 'human' or 'json', not 'xml'"),
        ("call_timeout = 0", "call_timeout: Input should be greater than 0, not 0"),
        ("\udcff", "cannot read"),
    ],
)
def test_a_file_that_makes_no_sense_is_refused_in_words(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "config.toml"
    path.write_text(text, errors="surrogateescape")
    with pytest.raises(ConfigError, match=words) as refused:
        read_config({"XENOPS_CONFIG": str(path)})
    assert str(path) in str(refused.value)


def test_a_variable_that_makes_no_sense_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="XENOPS_OUTPUT: output"):
        read_config({"XDG_CONFIG_HOME": str(tmp_path), "XENOPS_OUTPUT": "xml"})
    with pytest.raises(ConfigError, match="which XENOPS_CONFIG names"):
        read_config({"XENOPS_CONFIG": str(tmp_path / "none")})


def test_a_password_that_others_may_read_is_refused(write: Write) -> None:
    told = write('broker = "amqp://me:secret@host/"')
    assert read_config(told).broker == "amqp://me:secret@host/"
    place_of(told).chmod(PUBLIC)
    with pytest.raises(ConfigError, match="chmod 600") as refused:
        read_config(told)
    assert "secret" not in str(refused.value)
    place_of(write('broker = "unix:///s"')).chmod(PUBLIC)
    assert read_config(told).broker == "unix:///s"


def test_the_command_says_what_is_wrong_with_its_file(
    write: Write, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", write("nonsense")["XDG_CONFIG_HOME"])
    assert command.main(["list"]) == command.USAGE
    assert "is no TOML" in capsys.readouterr().err


@pytest.mark.parametrize("shell", SHELLS)
def test_a_shell_is_told_how_to_complete(shell: str, capsys: Capture) -> None:
    assert command.main(["completion", shell]) == command.DONE
    assert "_ARGCOMPLETE" in capsys.readouterr().out


def completed(line: str) -> list[str]:
    """What the command answers to a shell that asks what may stand at the end of a line."""
    told = {
        "_ARGCOMPLETE": "1",
        "_ARGCOMPLETE_IFS": "\n",
        "COMP_LINE": line,
        "COMP_POINT": str(len(line)),
        "_ARGCOMPLETE_STDOUT_FILENAME": "/dev/stdout",
    }
    program = "from xenops.command.main import main; main()"
    run = [sys.executable, "-c", program]
    done = subprocess.run(run, env={**os.environ, **told}, capture_output=True, text=True, check=True)
    return [word.strip() for word in done.stdout.split("\n")]


def test_commands_and_options_are_completed() -> None:
    assert completed("xenops time") == ["timeline"]
    assert {"--state-dir", "--patience"} <= set(completed("xenops doctor --"))


class Named(FakeInstance):
    """An instance with a VM."""

    def __init__(self) -> None:
        super().__init__()
        self.answers["VM.list"] = lambda: ((VM, STATE),)


def test_vms_are_completed_by_what_there_is() -> None:
    told = {"parsed_args": Namespace(broker="b", instance="i"), "prefix": ""}
    assert completer_of("vm", lambda _: Client(Named(), "i"))(**told) == ["web1"]
    silent = Named()
    silent.silent = 1
    assert completer_of("vm", lambda _: Client(silent, "i"))(**told) == []
    assert completer_of("vm", fail)(parsed_args=Namespace(broker=None, instance="i")) == []
    assert completer_of("vm", fail)(**told) == []


def fail(_: Any) -> Client:
    raise BusUnavailableError("nobody there")


def test_the_man_page_has_every_command(tmp_path: Path) -> None:
    page = tmp_path / "xenops.1"
    tool = Path(sys.executable).parent / "argparse-manpage"
    named = ["--module", "xenops.command.manual", "--function", "manual", "--prog", "xenops"]
    subprocess.run([tool, *named, "--project-name", "xenops", "--output", page], check=True)
    text = page.read_text().replace("\\-", "-")
    [commands] = [action for action in manual()._actions if isinstance(action.choices, dict)]
    aliases = {alias for names in ALIASES.values() for alias in names}
    assert {name for name in commands.choices or () if f"xenops {name}" not in text} <= aliases
    assert "Exit codes" in text
