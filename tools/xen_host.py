"""The Xen test host by hand: `make xen-host` builds what is missing, starts it, keeps it.

python tools/xen_host.py          start it, say how to reach it, end it with this command
python tools/xen_host.py image    build the image and save the machine, and no more
"""

import sys
import threading
from pathlib import Path

import guest
import xen_image
from xen_hardware import MachineError, machine_place
from xen_machine import resumed, save, ssh

DIRECTORY = Path(__file__).resolve().parent.parent / "var" / "xen"


def main(words: list[str]) -> int:
    """Do what is asked; answers the exit code."""
    try:
        print(f"xen-host: tiny guest: {guest.build(DIRECTORY.parent / 'guest')}")
        print(f"xen-host: image: {xen_image.build(DIRECTORY)}")
        if words == ["image"]:
            prepare()
        else:
            keep()
    except (guest.GuestError, MachineError) as error:
        print(f"xen-host: {error}", file=sys.stderr)
        return 1
    return 0


def prepare() -> None:
    """Have a saved machine."""
    place = machine_place(DIRECTORY / "current")
    if not (place.snapshot / "state").exists():
        print("xen-host: booting Xen once, to save it")
        save(place)
    print(f"xen-host: saved machine: {place.snapshot.name}")


def keep() -> None:
    """Run a machine until we are told to stop."""
    prepare()
    place = machine_place(DIRECTORY / "current")
    machine = resumed(place)
    try:
        print("xen-host: dom0 is up, the project in /opt/xenops/sources; this machine is 10.0.2.2 there")
        print("  " + " ".join(ssh(place, machine.port)))
        print("xen-host: Ctrl and C ends it", flush=True)
        threading.Event().wait()
    except KeyboardInterrupt:
        print("xen-host: ended")
    finally:
        machine.end()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
