"""What libvirt says of a domain, as values."""

import libvirt  # type: ignore[import-untyped]
import pytest
from virt.meaning import info_of
from virt.values import DomainStatus, How


class Ending:
    """A domain as libvirt's driver of Xen has it when Xen has it no more."""

    def __init__(self, *state: int) -> None:
        self._state = list(state)

    def info(self) -> list[int]:
        raise libvirt.libvirtError("internal error: libxl_domain_info failed for domain '33'")

    def state(self) -> list[int]:
        return self._state

    def metadata(self, *_: object) -> str:
        return "<mark/>"

    def UUIDString(self) -> str:  # noqa: N802  libvirt's own
        return "6d1d6d4c-3d0a-4d0c-8a1e-0c2f3b8f1a11"

    def name(self) -> str:
        return "guest"

    def ID(self) -> int:  # noqa: N802  libvirt's own
        return 33


def test_a_domain_that_has_ended_is_told_while_libvirt_clears_it_up() -> None:
    found = info_of(Ending(libvirt.VIR_DOMAIN_SHUTOFF, libvirt.VIR_DOMAIN_SHUTOFF_SHUTDOWN), "urn:mark")
    assert (found.status, found.how) == (DomainStatus.ENDED, How.SHUT_DOWN)
    assert found.memory_bytes == 0


def test_of_one_that_runs_nothing_is_made_up() -> None:
    with pytest.raises(libvirt.libvirtError, match="libxl_domain_info"):
        info_of(Ending(libvirt.VIR_DOMAIN_RUNNING, 1), "urn:mark")
