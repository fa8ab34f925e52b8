"""Guest: the tiny Linux that `make setup` builds, as what a VM boots."""

from dataclasses import dataclass
from pathlib import Path

from schema.objects.vm import DirectBoot, PvDirectBoot, Pvh, PvInfo

CMDLINE = "console=ttyS0 no_timer_check tsc=reliable cryptomgr.notests reboot=t panic=-1 quiet"
"""What its kernel is told; the timer's check takes seconds under emulation, and may fail, and to try its own
ciphers takes a tenth of its boot."""


@dataclass(frozen=True, slots=True)
class Guest:
    """Its two files."""

    kernel: Path
    initrd: Path

    @property
    def uefi_disk(self) -> Path:
        """A disk from which it boots by UEFI, with an agent."""
        return self.kernel.with_name("uefi.raw")

    @property
    def is_there(self) -> bool:
        """Whether it was built."""
        return self.kernel.exists() and self.initrd.exists()

    def builder(self, *words: str, with_agent: bool = False) -> Pvh:
        """How a VM boots it, without a screen; `words` are for its command line (see tools/guest-init)."""
        ramdisk = self.initrd.with_name("initrd-agent.gz") if with_agent else self.initrd
        boot = PvDirectBoot(
            kernel=str(self.kernel), ramdisk=str(ramdisk), cmdline=" ".join((CMDLINE, *words))
        )
        return Pvh(info=PvInfo(boot=DirectBoot(boot=boot), framebuffer=False))


def guest_in(directory: Path) -> Guest:
    """The guest in a directory, such as the project's `var/guest`."""
    return Guest((directory / "vmlinuz").absolute(), (directory / "initrd.gz").absolute())
