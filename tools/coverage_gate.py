"""The coverage gate: unit tests with branch coverage; pure modules whole, all shells together 85 %."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

SHELL_PERCENT = 85.0

SEED = "--hypothesis-seed=0"
"""What is covered here must not hang on luck; `make unit` tries what it has not tried before."""

PURE = (
    "shared/schema/schema/",
    "shared/bus/bus/dedup.py",
    "shared/bus/bus/exported.py",
    "shared/bus/bus/window.py",
    "shared/bus/bus/place.py",
    "shared/bus/bus/rabbit/deliveries.py",
    "shared/bus/bus/snapshots.py",
    "shared/bus/bus/stories/",
    "shared/bus/bus/versioned.py",
    "shared/engine/engine/worker/keeping.py",
    "services/eventhub/eventhub/keeping.py",
    "shared/bus/bus/quarantine.py",
    "shared/bus/bus/retrial.py",
    "shared/bus/bus/retention.py",
    "shared/bus/bus/roles.py",
    "shared/bus/bus/topology.py",
    "shared/bus/bus/users.py",
    "shared/traces/traces/observers.py",
    "shared/traces/traces/span.py",
    "shared/traces/traces/zipkin.py",
    "shared/bus/bus/direct/frames.py",
    "services/redirector/redirector/brief.py",
    "services/redirector/redirector/claims.py",
    "services/redirector/redirector/columns.py",
    "services/redirector/redirector/core.py",
    "services/redirector/redirector/deadlines.py",
    "services/redirector/redirector/fold.py",
    "services/redirector/redirector/followers.py",
    "services/redirector/redirector/lane.py",
    "services/redirector/redirector/lanes.py",
    "services/redirector/redirector/operators.py",
    "services/redirector/redirector/requests.py",
    "services/redirector/redirector/snapshot.py",
    "services/redirector/redirector/turns.py",
    "services/redirector/redirector/workers.py",
    "services/eventhub/eventhub/core.py",
    "services/eventhub/eventhub/tasks.py",
    "services/eventhub/eventhub/updates.py",
    "services/eventhub/eventhub/tokens.py",
    "services/eventhub/eventhub/fold.py",
    "services/eventhub/eventhub/quarantine.py",
    "services/eventhub/eventhub/waiting.py",
    "services/eventhub/eventhub/calls.py",
    "services/eventhub/eventhub/described.py",
    "services/eventhub/eventhub/diagnostics.py",
    "services/dashboard/dashboard/fold/",
    "services/dashboard/dashboard/plots.py",
    "services/dashboard/dashboard/pulse.py",
    "services/dashboard/dashboard/safety.py",
    "services/dashboard/dashboard/sessions.py",
    "services/dashboard/dashboard/timeline.py",
    "services/frontend/frontend/arrivals.py",
    "services/frontend/frontend/core.py",
    "services/frontend/frontend/http/message.py",
    "services/frontend/frontend/routes.py",
    "services/frontend/frontend/switch/core.py",
    "services/frontend/frontend/switch/effects.py",
    "services/frontend/frontend/switch/protocol.py",
    "services/frontend/frontend/switch/queues.py",
    "services/frontend/frontend/switch/trace.py",
    "clients/xenops/command/checks.py",
    "clients/xenops/toolstack/convert/",
    "clients/xenops/toolstack/failures.py",
    "clients/xenops/toolstack/records/",
    "clients/xenops/toolstack/reflect/",
    "clients/xenops/toolstack/watch/lanes.py",
    "shared/virt/virt/mark.py",
    "shared/virt/virt/seal.py",
    "shared/virt/virt/xml.py",
    "services/worker-kvm/worker_kvm/libvirt/bootable.py",
    "services/worker-kvm/worker_kvm/libvirt/document.py",
    "services/worker-kvm/worker_kvm/libvirt/ending.py",
    "services/worker-kvm/worker_kvm/libvirt/keepsakes.py",
    "services/worker-kvm/worker_kvm/libvirt/live.py",
    "services/worker-kvm/worker_kvm/libvirt/machine.py",
    "services/worker-kvm/worker_kvm/libvirt/saved.py",
    "services/worker-kvm/worker_kvm/libvirt/states.py",
    "services/worker-kvm/worker_kvm/libvirt/told.py",
    "services/worker-kvm/worker_kvm/tapless.py",
    "shared/engine/engine/hosted/port_rules.py",
    "services/worker-kvm/worker_kvm/throttle.py",
    "services/worker-kvm/worker_kvm/storage.py",
    "services/worker-kvm/worker_kvm/qemu/arriving.py",
    "services/worker-kvm/worker_kvm/qemu/framing.py",
    "services/worker-kvm/worker_kvm/qemu/guest_agent.py",
    "services/worker-kvm/worker_kvm/qemu/mirrored.py",
    "services/worker-kvm/worker_kvm/qemu/qcow2.py",
    "services/worker-xen/worker_xen/classic/features.py",
    "services/worker-xen/worker_xen/classic/machine.py",
    "services/worker-xen/worker_xen/classic/nature.py",
    "services/worker-xen/worker_xen/classic/states.py",
    "services/worker-xen/worker_xen/libxc/acpi.py",
    "services/worker-xen/worker_xen/libxc/stream.py",
    "services/worker-xen/worker_xen/libxc/versions.py",
    "services/worker-xen/worker_xen/xenstore/addresses.py",
    "services/worker-xen/worker_xen/xenstore/devices.py",
    "services/worker-xen/worker_xen/xenstore/layout.py",
    "services/worker-xen/worker_xen/xenstore/tree.py",
    "shared/engine/engine/store/nodes.py",
    "shared/engine/engine/hosted/machine.py",
    "shared/engine/engine/hosted/naming.py",
    "shared/engine/engine/hosted/states.py",
    "shared/engine/engine/hosted/ballooning.py",
    "services/worker-xen/worker_xen/libvirt/document.py",
    "services/worker-xen/worker_xen/libvirt/stream.py",
    "services/worker-xen/worker_xen/xenlight/config.py",
    "services/worker-xen/worker_xen/xenlight/machine.py",
    "services/worker-xen/worker_xen/xenlight/states.py",
    "services/worker-xen/worker_xen/xenlight/values.py",
    "stack/stack/layout.py",
    "stack/stack/promises.py",
    "stack/stack/shape.py",
)
"""Modules that decide and do nothing else: every branch is a rule, so every branch has a test."""

NOT_UNIT_TESTED = (
    "services/worker-kvm/worker_kvm/libvirt/",
    "services/worker-kvm/worker_kvm/qemu/bell.py",
    "services/worker-kvm/worker_kvm/qemu/exporting.py",
    "services/worker-kvm/worker_kvm/qemu/imagefile.py",
    "services/worker-kvm/worker_kvm/qemu/incoming.py",
    "services/worker-kvm/worker_kvm/qemu/mirroring.py",
    "services/worker-kvm/worker_kvm/qemu/outgoing.py",
    "services/worker-kvm/worker_kvm/qemu/saving.py",
    "services/worker-kvm/worker_kvm/qemu/sleeping.py",
    "services/worker-kvm/worker_kvm/ways.py",
    "shared/virt/virt/connection.py",
    "shared/virt/virt/handover.py",
    "shared/virt/virt/meaning.py",
    "shared/virt/virt/phases.py",
    "services/worker-xen/worker_xen/classic/",
    "services/worker-xen/worker_xen/libxc/",
    "services/worker-xen/worker_xen/xenstore/daemon.py",
    "shared/bus/bus/rabbit",
    "shared/bus/bus/cluster.py",
    "shared/bus/bus/node.py",
    "shared/bus/bus/wires.py",
    "shared/engine/engine/backend.py",
    "shared/engine/engine/store/door.py",
    "shared/engine/engine/store/link.py",
    "shared/engine/engine/store/xenstored.py",
    "services/worker-xen/worker_xen/xenlight/backend.py",
    "services/worker-xen/worker_xen/xenlight/bridging.py",
    "services/worker-xen/worker_xen/xenlight/events.py",
    "services/worker-xen/worker_xen/xenlight/host.py",
    "services/worker-xen/worker_xen/xenlight/hypervisor.py",
    "services/worker-xen/worker_xen/xenlight/libxl.py",
    "services/worker-xen/worker_xen/xenlight/pcis.py",
    "services/worker-xen/worker_xen/xenlight/suspend.py",
    "services/worker-xen/worker_xen/xenlight/vbds.py",
    "services/worker-xen/worker_xen/xenlight/vifs.py",
    "services/worker-xen/worker_xen/xenlight/vms.py",
    "services/worker-xen/worker_xen/xenlight/xenstore.py",
    "stack/stack/demo.py",
    "stack/stack/libvirtd.py",
    "stack/stack/local.py",
    "stack/stack/operator.py",
    "stack/stack/xenstored.py",
    "testing/xenops_testing/plugin.py",
)
"""Shells onto a real broker, xenstored, libvirt or Xen, which other tests drive; ports without any code.

A plugin is loaded by pytest before coverage begins.
"""

SOURCES = (
    "shared/*/*",
    "services/*/*",
    "clients/xenops",
    "stack/stack",
    "simulation/simulation",
    "testing/xenops_testing",
)


def main(test_directories: list[str]) -> int:
    """Run the unit tests under coverage and judge the figures; answers the exit code."""
    packages = [path for pattern in SOURCES for path in sorted(Path().glob(pattern))]
    sources = [f"--cov={path}" for path in packages if (path / "__init__.py").exists()]
    with tempfile.TemporaryDirectory() as directory:
        report = Path(directory) / "coverage.json"
        tests = [sys.executable, "-m", "pytest", "-q", "-n", "2", SEED, *test_directories]
        reports = ["--cov-branch", f"--cov-report=json:{report}"]
        done = subprocess.run([*tests, *sources, *reports], check=False)
        if done.returncode:
            return done.returncode
        files: dict[str, Any] = json.loads(report.read_text())["files"]
    found = [*pure_complaints(files), *shell_complaints(files)]
    print("\n".join(found) if found else f"coverage: pure modules whole, shells {shell_percent(files):.1f} %")
    return 1 if found else 0


def pure_complaints(files: dict[str, Any]) -> list[str]:
    """The pure modules that have a line or branch without a test."""
    return [
        f"{name}: {entry['summary']['percent_covered']:.1f} %, wants 100; lines {entry['missing_lines']}, "
        f"branches {entry.get('missing_branches', [])}"
        for name, entry in files.items()
        if name.startswith(PURE) and entry["summary"]["percent_covered"] < 100.0
    ]


def shell_complaints(files: dict[str, Any]) -> list[str]:
    """Whether all that is not pure, taken together, has too few tests."""
    percent = shell_percent(files)
    return [f"shells: {percent:.1f} %, want {SHELL_PERCENT}"] if percent < SHELL_PERCENT else []


def shell_percent(files: dict[str, Any]) -> float:
    """How much of all shells' lines and branches the unit tests reach."""
    shells = [
        entry["summary"] for name, entry in files.items() if not name.startswith((*PURE, *NOT_UNIT_TESTED))
    ]
    covered = sum(shell["covered_lines"] + shell["covered_branches"] for shell in shells)
    total = sum(shell["num_statements"] + shell["num_branches"] for shell in shells)
    return 100.0 * float(covered) / max(float(total), 1.0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
