"""Man pages: what is made, and that it is the same whenever it is made."""

import os
from pathlib import Path

import manual
from xenops.command.arguments import SUBJECTS, parser

DAY = {"SOURCE_DATE_EPOCH": "1795385700"}


def test_each_command_is_in_the_manual_and_its_page_has_the_date_of_its_sources(tmp_path: Path) -> None:
    pages = {path.name: path.read_text() for path in manual.build(tmp_path, os.environ | DAY)}
    assert set(pages) == {"xenops.1", "xenops-stack.8"}
    for name, text in pages.items():
        command, section = name.split(".")
        assert text.splitlines()[0].split()[1:3] == [command.upper().replace("-", "\\-"), f'"{section}"']
        assert '"2026\\-11\\-' in text.splitlines()[0]
    [commands] = (action.choices for action in parser()._actions if isinstance(action.choices, dict))
    named = {command.prog.split()[-1] for command in commands.values()}  # by no second name
    assert {name for name in named if name.replace("-", "\\-") not in pages["xenops.1"]} == set()


def test_a_command_s_whole_help_is_in_the_manual_and_what_all_take_only_once(tmp_path: Path) -> None:
    manual.build(tmp_path, os.environ | DAY)
    text = (tmp_path / "xenops.1").read_text().replace("\\-", "-")
    for words in ('"vifs": [{"device"', "xenops lane-hold web1", "Each check is ok, warn, fail or skip"):
        assert words in text, words
    assert text.count("how long one call may take") == 1
    places = [text.index(f"'xenops {name}'") for names in SUBJECTS.values() for name in names]
    assert places == sorted(places)
