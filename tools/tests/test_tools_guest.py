import importlib.util
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(name="guest")
def load_guest() -> ModuleType:
    path = Path(__file__).resolve().parents[1] / "guest.py"
    spec = importlib.util.spec_from_file_location("guest", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def module_file(directory: Path, name: str, depends: str) -> Path:
    path = directory / f"{name}.ko"
    path.write_bytes(
        b"\x7fELF..\0license=GPL\0depends=" + depends.encode() + b"\0name=" + name.encode() + b"\0"
    )
    return path


def test_a_module_comes_after_all_that_it_depends_on_and_once(guest: ModuleType, tmp_path: Path) -> None:
    depends = {
        "ring": "",
        "virtio": "ring",
        "scsi": "",
        "virtio_scsi": "scsi,virtio,ring",
        "virtio-rng": "virtio",
    }
    available = {guest.module_name(name): module_file(tmp_path, name, depends[name]) for name in depends}
    ordered = [path.stem for path in guest.in_order(("virtio_scsi", "virtio_rng"), available)]
    assert ordered == ["scsi", "ring", "virtio", "virtio_scsi", "virtio-rng"]


def test_a_module_that_the_kernel_does_not_have_is_named(guest: ModuleType) -> None:
    with pytest.raises(guest.GuestError, match="no module virtio_scsi"):
        guest.in_order(("virtio_scsi",), {})


@pytest.mark.usefixtures("_machine_that_suits")
def test_a_whole_build_of_the_same_ingredients_is_used_again(guest: ModuleType, tmp_path: Path) -> None:
    build = tmp_path / f"6.1-{guest.hash_of_ingredients()}"
    build.mkdir()
    for name in guest.FILES:
        (build / name).write_text(name)
    assert guest.build(tmp_path) == f"{build.name}, as built before"
    assert [(tmp_path / name).read_text() for name in guest.FILES] == list(guest.FILES)
    assert guest.build(tmp_path) == f"{build.name}, as built before"


@pytest.fixture(name="_machine_that_suits")
def require_a_machine_that_suits(guest: ModuleType) -> None:
    try:
        guest.refuse_where_it_cannot_work()
    except guest.GuestError as error:
        pytest.skip(f"capability missing: {error}")


def test_a_build_that_lacks_a_file_is_not_whole(guest: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "vmlinuz").touch()
    assert not guest.is_whole(tmp_path)


def test_a_link_is_changed_in_place_and_leaves_nothing_beside_it(guest: ModuleType, tmp_path: Path) -> None:
    for target in ("old", "old", "new"):
        guest.link(tmp_path / "current", target)
    assert [str(path.readlink()) for path in tmp_path.iterdir()] == ["new"]


def test_the_same_tree_makes_the_same_archive(guest: ModuleType, tmp_path: Path) -> None:
    archives = []
    for name in ("first", "second"):
        (tmp_path / name / "bin").mkdir(parents=True)
        (tmp_path / name / "bin" / "sh").symlink_to("busybox")
        (tmp_path / name / "init").write_text("#!/bin/sh\n")
        archives.append(guest.archive(tmp_path / name))
    assert archives[0] == archives[1]
    assert b"#!/bin/sh\n" in archives[0]
