"""The Debian package on a host with systemd: from nothing to VMs that outlive their worker, and back.

Wants Docker's engine, on Linux, and the package of `make deb`.
"""

import json
import re
from collections.abc import Iterator

import deb
import pytest
from debian_host import CREDENTIALS, NAME, ROOT, Host, docker

SIMULATOR, QEMU = "org.xen.xapi.xenops.simulator", "org.xen.xapi.xenops.qemu"
XEN = "org.xen.xapi.xenops.classic"
SERVICES = ("redirector", "eventhub", "frontend", "dashboard", "worker-sim", "worker-kvm")
UNITS = tuple(f"xenops-{service}.service" for service in SERVICES)
CAP_NET_ADMIN = 1 << 12
READY = "import urllib.request as r; print(r.urlopen('http://127.0.0.1:8600/readyz', timeout=60).status)"
UNTIL_READY = (
    'until python3 -c "$1" >/dev/null 2>&1; do systemctl -q is-failed "xenops-*" && exit 1; sleep 0.2; done'
)
COMPLETED = """\
. /usr/share/bash-completion/completions/xenops
COMP_LINE=$1 COMP_POINT=${#1} COMP_TYPE=9 COMP_WORDS=($1) COMP_CWORD=1
_python_argcomplete xenops
printf '%s\\n' "${COMPREPLY[@]}"
"""
STATUS_OF_FAILED = (
    'until [ "$(systemctl show --value -p SubState "$1")" = auto-restart ]; do sleep 0.2; done; '
    'systemctl status --full "$1" || true'
)
"""What is shown between two starts: of one that runs, only what it has said itself."""

UNTIL_ANEW = 'until [ "$(systemctl show --value -p NRestarts "$1")" -gt 0 ]; do sleep 0.2; done'


@pytest.fixture(name="bare", scope="module")
def make_host() -> Iterator[Host]:
    packages = sorted(deb.OUTPUT.glob("*.deb"))
    assert packages, "run make deb first"
    try:
        yield Host(packages[-1])
    finally:
        docker("rm", "--force", "--volumes", NAME)


@pytest.fixture(name="host", scope="module")
def configure(bare: Host) -> Host:
    nothing_started_before(bare)
    bare.run(
        *("xenops-stack", "credentials", "--directory", CREDENTIALS),
        *("--broker", "127.0.0.1:5672", SIMULATOR, QEMU, XEN),
    )
    definitions = bare.run("cat", f"{CREDENTIALS}/broker/definitions.json")
    bare.run("rabbitmqctl", "import_definitions", "--format", "json", told=definitions)
    bare.tell("/etc/xenops/xenops.conf", f"XENOPS_INSTANCE={SIMULATOR},{QEMU},{XEN}\n")
    bare.tell("/etc/xenops/worker-sim.conf", f"XENOPS_INSTANCE={SIMULATOR}\nXENOPS_WORKER=sim\n")
    bare.tell("/etc/xenops/worker-kvm.conf", f"XENOPS_INSTANCE={QEMU}\nXENOPS_KVM_ACCELERATOR=tcg\n")
    bare.run("systemctl", "enable", "--now", *UNITS)
    bare.run("sh", "-c", UNTIL_READY, "until", READY)
    return bare


def nothing_started_before(bare: Host) -> None:
    """Without credentials a unit is left alone, and that is no failure."""
    bare.run("systemctl", "start", *UNITS)
    assert {bare.prop(unit, "ActiveState") for unit in UNITS} == {"inactive"}
    assert {bare.prop(unit, "ConditionResult") for unit in UNITS} == {"no"}


def test_all_documents_are_there_as_pages(bare: Host) -> None:
    front = bare.run("cat", f"/{deb.DOCUMENTS}/html/index.html")
    pages = {link for link in re.findall(r'href="([\w/.-]+\.html)"', front) if ".." not in link}
    assert {"tutorials/first-vm.html", "operators.html", "reference/client.html"} <= pages
    bare.run("sh", "-c", 'cd "$0" && stat "$@"', f"/{deb.DOCUMENTS}/html", *sorted(pages))


def until_served(host: Host) -> None:
    """Wait until the worker on QEMU answers again: until then each question is refused at once."""
    asked = f"XENOPS_INSTANCE={QEMU} XENOPS_BROKER=$(cat {CREDENTIALS}/operator/url) xenops list"
    host.run("sh", "-c", f"until {asked}; do sleep 0.2; done")


@pytest.mark.parametrize("service", SERVICES)
def test_each_service_runs_as_a_user_of_its_own_with_the_rights_that_it_needs(
    host: Host, service: str
) -> None:
    unit = f"xenops-{service}.service"
    assert host.prop(unit, "ActiveState") == "active"
    pid = host.prop(unit, "MainPID")
    assert host.run("stat", "--format", "%U", f"/proc/{pid}").strip() == f"xenops-{service}"
    assert host.capabilities(pid) == (CAP_NET_ADMIN if service == "worker-kvm" else 0)


def test_a_service_that_dies_is_started_anew_and_the_instance_is_served_on(host: Host) -> None:
    host.run("systemctl", "kill", "--signal", "KILL", "xenops-eventhub")
    host.run("sh", "-c", UNTIL_ANEW, "until", "xenops-eventhub")
    host.tell("/root/sim.json", json.dumps({"vm": {"id": "one"}}))
    host.xenops(SIMULATOR, "add", "/root/sim.json")
    host.xenops(SIMULATOR, "start", "one")
    assert "Paused" in host.xenops(SIMULATOR, "list") or "Running" in host.xenops(SIMULATOR, "list")


def test_a_vm_of_qemu_has_a_tap_on_the_bridge_no_capability_and_outlives_its_workers_restart(
    host: Host,
) -> None:
    host.run("ip", "link", "add", "xenbr0", "type", "bridge")
    host.run("mkdir", "-p", "/srv/images")
    for name in ("vmlinuz", "initrd.gz"):
        docker("cp", "--follow-link", str(ROOT / "var" / "guest" / name), f"{NAME}:/srv/images/{name}")
    boot = {"kernel": "/srv/images/vmlinuz", "initrd": "/srv/images/initrd.gz", "cmdline": "console=ttyS0"}
    vifs = [{"device": "0", "mac": "52:54:00:12:34:56", "bridge": "xenbr0"}]
    host.tell(
        "/root/kvm.json", json.dumps({"vm": {"id": "two", "memory": "128 MiB", "boot": boot}, "vifs": vifs})
    )
    host.xenops(QEMU, "add", "/root/kvm.json")
    host.xenops(QEMU, "start", "two")
    host.xenops(QEMU, "unpause", "two")
    pid = host.run("pidof", "qemu-system-x86_64").strip()
    assert host.run("stat", "--format", "%U", f"/proc/{pid}").strip() == "xenops-worker-kvm"
    assert host.capabilities(pid) == 0
    assert host.run("ip", "-brief", "link", "show", "master", "xenbr0").strip()
    host.run("systemctl", "restart", "xenops-worker-kvm")
    until_served(host)
    assert "Running" in host.xenops(QEMU, "list")
    assert host.run("pidof", "qemu-system-x86_64").strip() == pid
    host.xenops(QEMU, "shutdown", "two")
    assert "Halted" in host.xenops(QEMU, "list")


def test_a_shell_completes_the_command_and_its_pages_are_in_the_manual(host: Host) -> None:
    told = host.run("bash", "-c", COMPLETED, "complete", "xenops work")
    assert {"workers", "worker-drain", "worker-undrain"} <= {word.strip() for word in told.split()}
    for page in ("man1/xenops.1.gz", "man8/xenops-stack.8.gz"):
        assert "SYNOPSIS" in host.run("zcat", f"/usr/share/man/{page}")


def test_the_package_installed_again_keeps_services_and_settings(host: Host) -> None:
    settings = host.run("cat", "/etc/xenops/worker-sim.conf")
    before = host.prop("xenops-frontend", "MainPID")
    host.run("dpkg", "--force-confold", "--install", "/root/xenops.deb")
    assert host.run("cat", "/etc/xenops/worker-sim.conf") == settings
    assert host.prop("xenops-frontend", "MainPID") not in {before, "0"}
    assert {host.prop(unit, "ActiveState") for unit in UNITS} == {"active"}


def test_where_there_is_no_xen_its_worker_is_not_started(host: Host) -> None:
    host.run("systemctl", "start", "xenops-worker-xen")
    assert host.prop("xenops-worker-xen", "ConditionResult") == "no"


def test_its_worker_that_is_started_all_the_same_says_why_it_cannot_and_is_tried_again_without_haste(
    host: Host,
) -> None:
    """As on a host whose kernel speaks of Xen, and where it does not answer."""
    unit = "xenops-worker-xen"
    host.run("mkdir", "-p", f"/etc/systemd/system/{unit}.service.d")
    host.tell(f"/etc/systemd/system/{unit}.service.d/anyway.conf", "[Unit]\nConditionPathExists=\n")
    host.tell("/etc/xenops/worker-xen.conf", f"XENOPS_INSTANCE={XEN}\n")
    host.run("systemctl", "daemon-reload")
    host.run("systemctl", "start", unit)
    try:
        host.run("sh", "-c", UNTIL_ANEW.replace("-gt 0", "-gt 1"), "until", unit)
        first, second = host.failures(unit)[:2]
        assert second - first >= 5.0
        said = host.run("journalctl", "--unit", unit, "--output", "cat", "--grep", "cannot start")
        assert "this host runs without Xen" in said.splitlines()[0]
        assert "on QEMU or KVM, worker-kvm serves" in said.splitlines()[0]
        shown = host.run("sh", "-c", STATUS_OF_FAILED, "until", unit)
        assert "activating (auto-restart) (Result: exit-code)" in shown
    finally:
        host.run("systemctl", "stop", unit)
    assert host.prop(unit, "ActiveState") in {"inactive", "failed"}


def test_the_doctor_knows_what_to_do_where_an_instance_has_no_worker(host: Host) -> None:
    asked = (
        f"XENOPS_INSTANCE={XEN} XENOPS_BROKER=$(cat {CREDENTIALS}/operator/url) xenops doctor; test $? = 1"
    )
    told = host.run("sh", "-c", asked)
    assert f"no worker of instance {XEN} is running" in told
    assert "start the worker of this instance" in told


def test_once_it_is_purged_nothing_of_it_runs_or_lies_about(host: Host) -> None:
    host.run("dpkg", "--purge", "xenops")
    left = host.run("sh", "-c", "ls -d /usr/lib/xenops /etc/xenops /var/lib/xenops 2>/dev/null || true")
    assert left.split() == []
    assert host.run("systemctl", "list-units", "--no-legend", "xenops-*").strip() == ""
