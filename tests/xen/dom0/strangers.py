"""Somebody else's guest, made by `xl`: it is there throughout, and nothing of it may be touched."""

import subprocess
from collections.abc import Iterator

import pytest
from leftovers import domains
from xen_guests import GUEST, MIB

_NAME = "stranger"
_MIB = 96


@pytest.fixture(name="stranger", scope="module")
def keep_stranger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A paused guest with a disk and an interface; afterwards it has the same domain and the same nodes."""
    directory = tmp_path_factory.mktemp(_NAME)
    disk, config = directory / "disk.raw", directory / "config"
    with disk.open("wb") as file:
        file.truncate(4 * MIB)
    config.write_text(
        f"name={_NAME!r}\ntype='pv'\nmemory={_MIB}\nkernel='{GUEST}/vmlinuz'\n"
        f"disk=['format=raw,vdev=xvda,access=rw,target={disk}']\nvif=['bridge=xenbr0']\n"
    )
    _said("xl", "create", "-p", "-q", str(config))
    before = _seen()
    yield
    assert _seen() == before
    _said("xl", "destroy", _NAME)


def _seen() -> list[str]:
    """Its line, its state, and all that xenstore has of it; its time, too: it never ran."""
    line = _said("xl", "list", _NAME).splitlines()[1]
    domid = line.split()[1]
    backend = "/local/domain/0/backend"
    folders = (f"/local/domain/{domid}", f"{backend}/vbd/{domid}", f"{backend}/vif/{domid}")
    nodes = [node for folder in folders for node in _said("xenstore-ls", "-f", "-p", folder).splitlines()]
    assert f"{_NAME} {domid}" in domains()
    return [line, *sorted(nodes)]


def _said(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout
