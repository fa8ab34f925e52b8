import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

TOOLS = Path(__file__).resolve().parents[1]


@pytest.fixture(name="xenstored")
def load_xenstored(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(TOOLS))
    spec = importlib.util.spec_from_file_location("xenstored", TOOLS / "xenstored.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(name="programs")
def put_programs_in_the_place_of_apts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory that is all of PATH."""
    programs = tmp_path / "programs"
    programs.mkdir()
    monkeypatch.setenv("PATH", str(programs))
    return programs


def program(directory: Path, name: str, words: str) -> None:
    path = directory / name
    path.write_text(f"#!/bin/sh\n{words}\n")
    path.chmod(0o755)


def test_a_whole_build_of_the_same_shim_is_used_again(
    xenstored: ModuleType, tmp_path: Path, programs: Path
) -> None:
    assert list(programs.iterdir()) == []
    with pytest.raises(xenstored.GuestError, match="needs dpkg-deb"):
        xenstored.build(tmp_path / "var")
    wanted = xenstored.fingerprint()
    (tmp_path / "var" / wanted).mkdir(parents=True)
    for name in xenstored.FILES:
        (tmp_path / "var" / wanted / name).touch()
    assert xenstored.build(tmp_path / "var") == f"{wanted}, as built before"
    assert (tmp_path / "var" / "current" / "xenstored").exists()


def test_the_newest_daemons_are_taken_with_those_of_xens_libraries_that_they_need(
    xenstored: ModuleType, programs: Path
) -> None:
    depends = "  Depends: libxenstore4\n  Depends: libc6\n  Depends: libxenmisc4.17"
    answers = (
        '*pkgnames*) printf "xen-utils-common\\nxen-utils-4.9\\nxen-utils-4.17\\n";;',
        f'*xen-utils-4.17) printf "{depends}\\n";;',
        '*libxenmisc4.17) printf "  Depends: libxenstore4\\n";;',
    )
    program(programs, "apt-cache", "\n".join(('case "$*" in', *answers, "esac")))
    assert xenstored.packages_with([]) == ["xen-utils-4.17", "libxenstore4", "libxenmisc4.17"]


def test_where_apt_knows_of_no_xen_nothing_is_downloaded(
    xenstored: ModuleType, tmp_path: Path, programs: Path
) -> None:
    program(programs, "apt-cache", "exit 0")
    assert xenstored.packages_with([]) == []
    assert xenstored.download(tmp_path, []) is False


def test_packages_without_a_daemon_are_told(xenstored: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(xenstored.GuestError, match=r"adapt tools/xenstored\.py"):
        xenstored.one_of(tmp_path, "usr/lib/xen-*/bin/xenstored")
