"""The command's help, and what it says to command lines that make no sense."""

import re
import shlex

import pytest
from xenops.command import main as command
from xenops.command.arguments import SUBJECTS, parser
from xenops.command.examples import EXAMPLES

Capture = pytest.CaptureFixture[str]


def test_help_documents_the_exit_codes_and_the_file(capsys: Capture) -> None:
    for argv, words in ((["--help"], "Exit codes"), (["add", "--help"], '"vbds"')):
        with pytest.raises(SystemExit):
            command.main(argv)
        assert words in capsys.readouterr().out


def test_a_command_that_is_none_is_refused_in_a_sentence_with_the_nearest(capsys: Capture) -> None:
    for argv, words in (
        (
            ("strat", "web1"),
            "xenops: there is no command 'strat', did you mean stat or start? See `xenops --help`\n",
        ),
        (
            ("completion", "ksh"),
            "there is no shell 'ksh', did you mean zsh? See `xenops completion --help`\n",
        ),
        (("completion", "x"), "there is no shell 'x', but bash, zsh, fish; see `xenops completion --help`\n"),
        (("qqq",), "xenops: there is no command 'qqq'; see `xenops --help`\n"),
        (("start", "a", "b"), "xenops start: nothing can be done with b; see `xenops start --help`\n"),
        (("delay", "a", "nan"), "'nan' is no number of seconds: give 0 or more; see `xenops delay --help`\n"),
        (("shutdown", "a", "--timeout=-1"), "give 0 or more; see `xenops shutdown --help`\n"),
        (
            ("deadline", "7", "x"),
            "'x' is no number of seconds: give 0 or more; see `xenops deadline --help`\n",
        ),
        (
            ("set-vcpus", "a", "0"),
            "'0' is too few, or no whole number: give 1 or more; see `xenops set-vcpus --help`\n",
        ),
        (("start",), "xenops start: the following arguments are required: VM; see `xenops start --help`\n"),
    ):
        with pytest.raises(SystemExit) as end:
            command.main(argv)
        assert end.value.code == command.USAGE
        assert capsys.readouterr().err.endswith(words)


def test_help_lists_each_command_once_below_what_it_is_about(capsys: Capture) -> None:
    assert command.main(()) == command.USAGE
    told = capsys.readouterr().err
    [commands] = (one.choices for one in parser()._actions if isinstance(one.choices, dict))
    named = {made.prog.split()[-1] for made in commands.values()}
    assert sorted(name for names in SUBJECTS.values() for name in names) == sorted(named)
    for name in named:
        assert len(re.findall(rf"^    {name}\b(?!-)", told, re.MULTILINE)) == 1, name
    assert told.index("tasks and workers:") < told.index("lanes (queues)") < told.index("what happens")


def test_every_command_has_examples_that_make_sense(capsys: Capture) -> None:
    assert sorted(EXAMPLES) == sorted(name for names in SUBJECTS.values() for name in names)
    for name, lines in EXAMPLES.items():
        for line in lines:
            words = shlex.split(line.partition(" > ")[0])
            assert parser().parse_args(words).command == name
        with pytest.raises(SystemExit):
            command.main([name, "--help"])
        assert f"  xenops {lines[0]}\n" in capsys.readouterr().out


def test_every_argument_says_what_it_is() -> None:
    [commands] = (one.choices for one in parser()._actions if isinstance(one.choices, dict))
    silent = [
        (name, one.dest)
        for name, made in commands.items()
        for one in made._actions
        if not one.help and not one.choices
    ]
    assert silent == []


def test_the_version_is_said(capsys: Capture) -> None:
    with pytest.raises(SystemExit) as end:
        command.main(["--version"])
    assert end.value.code == command.DONE
    assert re.fullmatch(r"xenops \d+\.\d+\.\d+\n", capsys.readouterr().out)
