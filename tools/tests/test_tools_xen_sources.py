"""The project's disk for dom0: each module is compiled, each distribution says that it is there."""

import importlib.machinery
import importlib.util
import os
from pathlib import Path
from types import ModuleType

import pytest

TOOLS = Path(__file__).resolve().parents[1]


@pytest.fixture(name="xen_sources")
def load_xen_sources(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(TOOLS))
    spec = importlib.util.spec_from_file_location("xen_sources", TOOLS / "xen_sources.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_what_dom0_needs_of_the_project_is_taken_and_unit_tests_are_not(xen_sources: ModuleType) -> None:
    names = xen_sources.packed()
    assert "services/worker-xen/worker_xen/__main__.py" in names
    assert "tests/xen/dom0/pytest.ini" in names
    assert not [name for name in names if "/tests/" in name]


def test_a_module_is_compiled_for_the_python_of_dom0_and_for_its_place_there(
    xen_sources: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = xen_sources.ROOT / "services" / "worker-xen" / "worker_xen" / "dom0.py"
    monkeypatch.setattr(xen_sources, "PYTHON_OF_DOM0", (2, 7))
    xen_sources.take(source, tmp_path / "dom0.py")
    assert [path.name for path in tmp_path.iterdir()] == ["dom0.py"]
    monkeypatch.setattr(xen_sources, "PYTHON_OF_DOM0", xen_sources.sys.version_info[:2])
    xen_sources.take(source, tmp_path / "dom0.py")
    (compiled,) = (tmp_path / "__pycache__").iterdir()
    code = importlib.machinery.SourcelessFileLoader("dom0", str(compiled)).get_code("dom0")
    assert code is not None
    assert code.co_filename == "/opt/xenops/sources/services/worker-xen/worker_xen/dom0.py"


def test_a_distribution_says_its_name_and_version(xen_sources: ModuleType, tmp_path: Path) -> None:
    xen_sources.take(xen_sources.ROOT / "shared" / "bus" / "pyproject.toml", tmp_path / "pyproject.toml")
    (metadata,) = tmp_path.glob("xenops_bus-*.dist-info/METADATA")
    assert "Name: xenops-bus\n" in metadata.read_text()


def test_where_xen_is_for_the_compiler_is_said_only_while_it_compiles(
    xen_sources: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIBRARY_PATH", "/before")
    monkeypatch.delenv("C_INCLUDE_PATH", raising=False)
    before = dict(os.environ)
    with xen_sources.compiling_against(Path("/image/include"), Path("/image/lib")):
        assert (os.environ["C_INCLUDE_PATH"], os.environ["LIBRARY_PATH"]) == ("/image/include", "/image/lib")
    assert dict(os.environ) == before
