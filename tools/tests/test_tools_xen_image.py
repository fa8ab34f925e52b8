"""The Xen test host's image is built anew when something that is in it has changed."""

import importlib.util
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
