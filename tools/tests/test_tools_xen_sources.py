"""The project's disk for dom0: each module is compiled, each distribution says that it is there."""

import importlib.machinery
import importlib.util
import os
import struct
import subprocess
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


def test_the_guests_kernel_is_unpacked_where_it_can_be(xen_sources: ModuleType) -> None:
    kernel = b"\x7fELF" + bytes(range(256)) * 100
    packed = subprocess.run(["xz", "-c"], input=kernel, capture_output=True, check=True).stdout
    assert xen_sources.unpacked_kernel(boot_image(packed)) == kernel
    assert xen_sources.unpacked_kernel(boot_image(b"packed by none that is known")) is None


def boot_image(packed: bytes) -> bytes:
    """As Linux's boot protocol has it: two sectors and its head, then what is packed, and its length."""
    head = bytearray(3 * 512)
    head[0x1F1] = 2
    struct.pack_into("<II", head, 0x248, 100, len(packed) + 4)
    return bytes(head) + bytes(100) + packed + struct.pack("<I", 1)
