"""The coverage gate: unit tests with branch coverage; pure modules whole, all shells together 85 %."""

import functools
import json
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Any

SHELL_PERCENT = 85.0

SEED = "--hypothesis-seed=0"
"""What is covered here must not hang on luck; `make unit` tries what it has not tried before."""

DECIDING = "what decides does no input or output"
"""The contract in pyproject.toml that names the pure modules: each branch of them is a rule with a test."""

NOT_UNIT_TESTED = (
    "services/worker-kvm/worker_kvm/libvirt/",
    "services/worker-kvm/worker_kvm/qemu/wakeup.py",
    "services/worker-kvm/worker_kvm/qemu/exporting.py",
    "services/worker-kvm/worker_kvm/qemu/imagefile.py",
    "services/worker-kvm/worker_kvm/qemu/incoming.py",
    "services/worker-kvm/worker_kvm/qemu/mirroring.py",
    "services/worker-kvm/worker_kvm/qemu/outgoing.py",
    "services/worker-kvm/worker_kvm/qemu/saving.py",
    "services/worker-kvm/worker_kvm/qemu/sleeping.py",
    "services/worker-kvm/worker_kvm/tunnels.py",
    "shared/virt/virt/connection.py",
    "shared/virt/virt/handover.py",
    "shared/virt/virt/link.py",
    "shared/virt/virt/meaning.py",
    "shared/virt/virt/phases.py",
    "services/worker-xen/worker_xen/classic/",
    "services/worker-xen/worker_xen/libxc/",
    "services/worker-xen/worker_xen/xenstore/daemon.py",
    "shared/bus/bus/rabbit",
    "stack/stack/broker/cluster.py",
    "stack/stack/broker/node.py",
    "stack/stack/broker/networks.py",
    "shared/engine/engine/backend/",
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
    "services/worker-xen/worker_xen/xenlight/sleeping.py",
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


def is_pure(file: str) -> bool:
    """Whether a file of a package is a module that decides, or within one."""
    package = next(folder for folder in reversed(Path(file).parents) if (folder / "__init__.py").exists())
    module = ".".join(Path(file).with_suffix("").relative_to(package.parent).parts)
    return f"{module}.".startswith(tuple(f"{name}." for name in deciding_modules()))


@functools.cache
def deciding_modules() -> list[str]:
    """What import-linter is told of them: modules, and packages with all that is in them."""
    contracts = tomllib.loads(Path("pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    named: list[str] = next(each["source_modules"] for each in contracts if each["name"] == DECIDING)
    return named


def pure_complaints(files: dict[str, Any]) -> list[str]:
    """The pure modules that have a line or branch without a test."""
    return [
        f"{name}: {entry['summary']['percent_covered']:.1f} %, wants 100; lines {entry['missing_lines']}, "
        f"branches {entry.get('missing_branches', [])}"
        for name, entry in files.items()
        if is_pure(name) and entry["summary"]["percent_covered"] < 100.0
    ]


def shell_complaints(files: dict[str, Any]) -> list[str]:
    """Whether all that is not pure, taken together, has too few tests."""
    percent = shell_percent(files)
    return [f"shells: {percent:.1f} %, want {SHELL_PERCENT}"] if percent < SHELL_PERCENT else []


def shell_percent(files: dict[str, Any]) -> float:
    """How much of all shells' lines and branches the unit tests reach."""
    shells = [
        entry["summary"]
        for name, entry in files.items()
        if not is_pure(name) and not name.startswith(NOT_UNIT_TESTED)
    ]
    covered = sum(shell["covered_lines"] + shell["covered_branches"] for shell in shells)
    total = sum(shell["num_statements"] + shell["num_branches"] for shell in shells)
    return 100.0 * float(covered) / max(float(total), 1.0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
