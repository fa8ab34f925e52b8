"""Examples: how each command is called, as its help and the man page show it."""

import argparse
from collections.abc import Mapping

EXAMPLES: Mapping[str, tuple[str, ...]] = {
    "list": ("list", "list --json"),
    "stat": ("stat web1",),
    "watch": ("watch", "watch web1"),
    "console": ("console web1",),
    "create": ("create web1.json",),
    "add": ("add web1.json",),
    "remove": ("remove web1",),
    "export": ("export web1 --file web1.export", "export web1 > web1.export"),
    "import": ("import web1.export",),
    "start": ("start web1 --run", "start web1 --run --wait 60"),
    "unpause": ("unpause web1",),
    "pause": ("pause web1",),
    "shutdown": ("shutdown web1 --timeout 60", "shutdown web1"),
    "reboot": ("reboot web1 --timeout 60",),
    "suspend": ("suspend web1 --disk /var/lib/images/web1.suspended",),
    "resume": ("resume web1 --run --disk /var/lib/images/web1.suspended",),
    "fast-resume": ("fast-resume web1",),
    "migrate": (
        "migrate web1 https://host2/services/xenops",
        "migrate web1 http://127.0.0.1/services/xenops --localhost",
    ),
    "delay": ("delay web1 30",),
    "set-vcpus": ("set-vcpus web1 2",),
    "set-memory": ("set-memory web1 256 512",),
    "vbd-add": ("vbd-add web1 xvdb --disk data.qcow2 --plug", "vbd-add web1 hdc --type cdrom"),
    "vbd-remove": ("vbd-remove web1 xvdb",),
    "vbd-plug": ("vbd-plug web1 xvdb",),
    "vbd-unplug": ("vbd-unplug web1 xvdb", "vbd-unplug web1 xvdb --force"),
    "vbd-insert": ("vbd-insert web1 hdc --disk debian.iso",),
    "vbd-eject": ("vbd-eject web1 hdc",),
    "vif-add": ("vif-add web1 1 --mac 52:54:00:00:00:09 --plug",),
    "vif-remove": ("vif-remove web1 1",),
    "vif-plug": ("vif-plug web1 1",),
    "vif-unplug": ("vif-unplug web1 1",),
    "pci-add": ("pci-add web1 0 0000:03:00.0",),
    "pci-remove": ("pci-remove web1 0",),
    "tasks": ("tasks",),
    "cancel": ("cancel 4711",),
    "prioritise": ("prioritise 4711 10",),
    "deadline": ("deadline 4711 60", "deadline 4711 none"),
    "lanes": ("lanes", "lanes web1"),
    "lane-hold": ("lane-hold web1",),
    "lane-release": ("lane-release web1",),
    "workers": ("workers",),
    "worker-drain": ("worker-drain vm",),
    "worker-undrain": ("worker-undrain vm",),
    "set-worker-pool-size": ("set-worker-pool-size 25",),
    "doctor": ("doctor", "doctor --state-dir /var/lib/xenops", "doctor --instance a,b"),
    "top": ("top", "top --once"),
    "timeline": ("timeline web1 --last 3", "timeline web1 --since 7d"),
    "log": (
        "log --since 5m --follow",
        "log --vm web1 --kind Submitted --kind Finished",
        "log --export all.log",
    ),
    "events": ("events --follow",),
    "quarantine": ("quarantine", "quarantine 4711"),
    "diagnostics": ("diagnostics",),
    "query": ("query",),
    "call": ("call VM.exists id=web1", "call --list"),
    "completion": ("completion bash > ~/.local/share/bash-completion/completions/xenops",),
}
"""By command; each without the program's name."""


def with_examples(commands: Mapping[str, argparse.ArgumentParser]) -> None:
    """Show each command's examples below its help."""
    for name, lines in EXAMPLES.items():
        command = commands[name]
        shown = "\n".join(f"  xenops {line}" for line in lines)
        command.epilog = f"{command.epilog or ''}\nexamples:\n{shown}\n".lstrip()
