"""The Debian package on a Xen host with systemd: its worker's unit starts VMs, and they outlive it."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import deb
import pytest
from schema.objects.vm import PowerState
from xen_dom0 import FOR_LONG, Dom0
from xen_image import LIBRARIES_FILE
from xen_site import IN_DOM0, UP, Site
from xen_worker import UNIT, UnitWorker

pytestmark = FOR_LONG

FETCH = "import sys, urllib.request as r; r.urlretrieve(sys.argv[1], '/root/xenops.deb')"

LEFT_ALONE = "sed -i 's/^XENDOMAINS_SAVE=.*/XENDOMAINS_SAVE=/' /etc/default/xendomains"
"""What docs/hosts.md says of a dom0: nobody else brings our domains back after a reboot."""


@pytest.fixture(name="host", scope="module")
def install(dom0_with_systemd: Dom0) -> Dom0:
    """Nothing of the project's is there but the package, and its bindings, which take a compiler long."""
    packages = sorted(deb.OUTPUT.glob("*.deb"))
    assert packages, "run make deb first"
    machine = dom0_with_systemd.machine
    with served(packages[-1].parent) as port:
        machine.check(f'python3 -c "{FETCH}" http://{IN_DOM0}:{port}/{packages[-1].name}')
    machine.check(f"rm {LIBRARIES_FILE} && dpkg --install /root/xenops.deb && {LEFT_ALONE}")
    return dom0_with_systemd


@contextmanager
def served(directory: Path) -> Iterator[int]:
    """A directory over HTTP: quicker to an emulated processor than ssh."""
    handler = partial(SimpleHTTPRequestHandler, directory=str(directory))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


@pytest.fixture(name="site", params=["classic", "xenlight", "libvirt"])
def serve(host: Dom0, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path, host, request.param, UnitWorker(host))
    try:
        yield site
        assert "Traceback" not in site.words()
    finally:
        site.close()


def test_a_unit_starts_vms_that_outlive_it(host: Dom0, site: Site) -> None:
    """Killed, restarted, and stopped while they run; within what its unit lets it do."""
    assert UnitWorker(host).prop("ProtectSystem") == "full"
    start(site)
    before = site.state("guest-1")

    site.crash_worker()
    assert site.state("guest-1") == before
    host.machine.check(f"systemctl stop {UNIT} && xl domid guest-1 && systemctl start {UNIT}")
    site.until_served()
    assert site.state("guest-1") == before

    shut_down(site)
    assert host.machine.check("losetup --list --noheadings; ls /sys/class/net | grep vif || true") == ""


def test_after_a_reboot_of_its_host_a_vm_is_halted_and_starts_again(host: Dom0, site: Site) -> None:
    """The unit comes up by itself, behind Xen; of the domain that was there nothing is left."""
    start(site)
    host.machine.reboot()
    site.start_libvirtd()
    site.until_served()
    state = site.state("guest-1")
    assert (state.power_state, state.domids) == (PowerState.HALTED, ())
    site.done(site.client.vm.start("guest-1"))
    site.done(site.client.vm.unpause("guest-1"))
    site.until_said("guest-1", UP, times=2)
    shut_down(site)


def start(site: Site) -> None:
    site.add("guest-1")
    site.done(site.client.vm.start("guest-1"))
    site.done(site.client.vm.unpause("guest-1"))
    site.until_said("guest-1", UP)


def shut_down(site: Site) -> None:
    site.done(site.client.vm.shutdown("guest-1", 300.0))
    assert site.state("guest-1").power_state is PowerState.HALTED
    site.client.vm.remove("guest-1")
    assert site.domid_of("guest-1") == ""
