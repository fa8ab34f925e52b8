import os
import re
import shutil
import subprocess
from pathlib import Path

import deb
import pytest

ROOT = Path(__file__).resolve().parents[2]
UNITS = sorted((ROOT / "packaging" / "systemd").glob("*.service"))
EXPOSURE_MAX = {"xenops-worker-kvm": 25, "xenops-worker-xen": 85}
"""In tenths of systemd's own measure; what drives a hypervisor needs more."""


@pytest.fixture(name="units", scope="module")
def units_with_programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The units, their programs being there."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is missing: units are not verified (Debian: systemd)")
    directory = tmp_path_factory.mktemp("units")
    for unit in UNITS:
        text = re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", unit.read_text(), flags=re.MULTILINE)
        (directory / unit.name).write_text(text)
    return directory


def analyze(units: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    environment = os.environ | {"SYSTEMD_UNIT_PATH": f"{units}:"}
    return subprocess.run(
        ["systemd-analyze", *arguments], env=environment, capture_output=True, text=True, check=False
    )


def test_systemd_understands_every_word_of_every_unit(units: Path) -> None:
    done = analyze(units, "verify", "--man=no", *(str(units / unit.name) for unit in UNITS))
    assert (done.returncode, [line for line in done.stderr.splitlines() if "xenops" in line]) == (0, [])


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.stem)
def test_no_unit_is_more_exposed_than_it_must_be(units: Path, unit: Path) -> None:
    most = EXPOSURE_MAX.get(unit.stem, 15)
    done = analyze(units, "security", "--offline=true", f"--threshold={most}", str(units / unit.name))
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.stem)
def test_each_unit_starts_a_program_of_the_package_with_credentials_of_its_own(unit: Path) -> None:
    text = unit.read_text()
    program = re.findall(r"^ExecStart=/(\S+)$", text, re.MULTILINE)
    assert set(program) < set(deb.PROGRAMS)
    assert len(re.findall(r"^LoadCredential=url:/etc/xenops/credentials/(\w+)/url$", text, re.MULTILINE)) == 1
    assert (ROOT / "packaging" / "etc" / unit.with_suffix(".conf").name.removeprefix("xenops-")).exists()


def test_every_service_has_a_unit_and_every_user_is_made() -> None:
    services = {path.name for path in (ROOT / "services").iterdir() if (path / "pyproject.toml").exists()}
    assert {unit.stem.removeprefix("xenops-") for unit in UNITS} == services
    users = re.findall(r"^User=(\S+)$", "".join(unit.read_text() for unit in UNITS), re.MULTILINE)
    made = re.findall(r"^u (\S+) ", (ROOT / "packaging" / "sysusers.conf").read_text(), re.MULTILINE)
    assert sorted(users) == sorted(made)


def test_distributions_of_several_versions_are_no_package(tmp_path: Path) -> None:
    for name, version in (("a", "1.0"), ("b", "1.0"), ("c", "2.0")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "pyproject.toml").write_text(
            f'[project]\nname = "{name}"\nversion = "{version}"\n'
        )
    assert deb.version_of(tmp_path, ["a", "b"]) == "1.0"
    with pytest.raises(deb.DebError, match=r"1\.0, 2\.0"):
        deb.version_of(tmp_path, ["a", "c"])


def test_settings_in_files_are_variables_that_are_read_somewhere() -> None:
    modules = [path for folder in ("shared", "services") for path in (ROOT / folder).rglob("*.py")]
    known = set(re.findall(r"\bXENOPS_[A-Z_]+\b", "".join(path.read_text() for path in modules)))
    told = [*(ROOT / "packaging" / "etc").iterdir(), *UNITS]
    named = set(re.findall(r"\bXENOPS_[A-Z_]+\b", "".join(path.read_text() for path in told)))
    assert named - known == set()
