"""The Xen test host's image is built anew when something that is in it has changed."""

import importlib.util
import os
import re
from pathlib import Path
from types import ModuleType

import pytest

TOOLS = Path(__file__).resolve().parents[1]


@pytest.fixture(name="xen_image")
def load_xen_image(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(TOOLS))
    spec = importlib.util.spec_from_file_location("xen_image", TOOLS / "xen_image.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_another_version_of_any_library_in_dom0_makes_another_image(
    xen_image: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual, lock = xen_image.hash_of_ingredients(), xen_image.LOCK.read_text()
    monkeypatch.setattr(xen_image, "LOCK", tmp_path / "lock")
    for library in xen_image.libraries():
        name = re.escape(xen_image.normalised(re.split(r"[^\w.-]", library)[0]))
        changed, count = re.subn(rf"^({name}==)", r"\g<1>99.", lock, flags=re.MULTILINE)
        assert count == 1, library
        (tmp_path / "lock").write_text(changed)
        assert xen_image.hash_of_ingredients() != usual
    (tmp_path / "lock").write_text(lock)
    assert xen_image.hash_of_ingredients() == usual


def test_a_machine_of_another_kind_is_told_apart_from_one_that_lacks_something(
    xen_image: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(xen_image.platform, "machine", lambda: "riscv64")
    with pytest.raises(xen_image.ElsewhereError, match="riscv64"):
        xen_image.refuse_where_it_cannot_work()
    monkeypatch.setattr(xen_image.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(xen_image.shutil, "which", lambda *_args, **_named: None)
    with pytest.raises(xen_image.GuestError, match="apt-get install mmdebstrap") as caught:
        xen_image.refuse_where_it_cannot_work()
    assert not isinstance(caught.value, xen_image.ElsewhereError)


def test_of_images_only_those_stay_that_were_taken_last(
    xen_image: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for age, name in enumerate(("newest", "second", "third", "oldest")):
        for path in (tmp_path / f"4.17-{name}" / "dom0.ext4", tmp_path / f"debian-{name}.tar"):
            path.parent.mkdir(exist_ok=True)
            path.touch()
            os.utime(path, (0, 1000 - age))
        os.utime(tmp_path / f"4.17-{name}", (0, 1000 - age))
    (tmp_path / "current").symlink_to("4.17-newest")
    (tmp_path / "machine-1").mkdir()
    monkeypatch.setattr(xen_image, "hash_of_ingredients", lambda: "oldest")
    monkeypatch.setattr(xen_image, "is_whole", lambda _: True)
    assert xen_image.build(tmp_path) == "4.17-oldest, as built before"
    assert (tmp_path / "current").resolve().name == "4.17-oldest"
    xen_image.remove_old(tmp_path)
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == [
        "4.17-newest",
        "4.17-oldest",
        "current",
        "debian-newest.tar",
        "debian-second.tar",
        "machine-1",
    ]
