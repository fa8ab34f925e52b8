import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

TOOLS = Path(__file__).resolve().parents[1]


@pytest.fixture(name="setup")
def load_setup(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(TOOLS))
    spec = importlib.util.spec_from_file_location("setup", TOOLS / "setup.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_step_that_cannot_be_done_is_told_and_ends_nothing(setup: ModuleType) -> None:
    def impossible() -> None:
        setup.run([sys.executable, "-c", "raise SystemExit(3)"])

    assert "failed with exit code 3" in setup.attempt(impossible)
    assert setup.attempt(lambda: None) is None


def test_a_guest_that_cannot_be_built_is_told_in_the_same_way(setup: ModuleType) -> None:
    def impossible() -> None:
        raise setup.guest.GuestError("no kernel")

    assert setup.attempt(impossible) == "no kernel"


def test_every_package_of_the_project_is_installed(setup: ModuleType) -> None:
    folders = {str(path.parent.relative_to(setup.ROOT)) for path in setup.ROOT.glob("*/*/pyproject.toml")}
    folders |= {str(path.parent.relative_to(setup.ROOT)) for path in setup.ROOT.glob("[a-z]*/pyproject.toml")}
    assert {folder for folder in folders if not folder.startswith("var/")} == set(setup.OWN_PACKAGES)


def test_what_debian_lacks_is_known_by_name(setup: ModuleType) -> None:
    assert setup.is_installed("dpkg")
    assert not setup.is_installed("no-such-package-at-all")


def test_the_environment_is_of_debians_python_unless_that_is_too_old_or_not_there(
    setup: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    own = Path(sys.executable).resolve()
    debians = tmp_path / "python3"
    monkeypatch.setattr(setup, "DEBIAN_PYTHON", debians)
    assert setup.interpreter() == own
    for version, taken in (("3 12", debians), ("3 9", own)):
        debians.write_text(f"#!/bin/sh\necho {version}\n")
        debians.chmod(0o755)
        assert setup.interpreter() == taken
