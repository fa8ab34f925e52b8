import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from schema.objects.halted import HALTED_VM
from schema.objects.vbd import VbdState
from schema.objects.vif import VifState
from schema.objects.vm import Console, ConsoleProtocol, DomainType, PowerState
from stack.promises import Seen, promises
from xenops.vmfile import parse_vm_file

FILE = {
    "vm": {"id": "demo", "memory": "128 MiB"},
    "vbds": [{"device": "xvda", "disk": "a"}, {"device": "xvdb", "disk": "b"}],
    "vifs": [{"device": "0", "mac": "52:54:00:00:00:01", "bridge": "xenbr0"}],
}
METADATA = parse_vm_file(json.dumps(FILE), Path("/x"))
STATE = HALTED_VM.model_copy(
    update={
        "power_state": PowerState.PAUSED,
        "domids": (3,),
        "consoles": (Console(protocol=ConsoleProtocol.VT100, port=0, path="/x/console"),),
        "memory_target": 128 << 20,
        "vcpu_target": 1,
        "last_start_time": 1_795_385_700.0,
        "domain_type": DomainType.DOMAIN_PVH,
    }
)
PLUGGED_VBD = VbdState(active=True, plugged=True)
PLUGGED_VIF = VifState(active=True, plugged=True, kthread_pid=0, media_present=True, pvs_rules_active=False)
SEEN = Seen(
    vm=METADATA.vm,
    state=STATE,
    vbds=tuple((vbd, PLUGGED_VBD) for vbd in METADATA.vbds),
    vifs=tuple((vif, PLUGGED_VIF) for vif in METADATA.vifs),
)


def broken(seen: Seen) -> list[str]:
    return [promise.words for promise in promises(seen, PowerState.PAUSED) if not promise.kept]


def test_a_vm_that_was_started_keeps_every_promise() -> None:
    assert broken(SEEN) == []


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"power_state": PowerState.RUNNING}, "power state Running"),
        ({"domids": ()}, "one domain id: none"),
        ({"domids": (3, 4)}, "one domain id: 3, 4"),
        ({"consoles": ()}, "an active console: none"),
        ({"last_start_time": 0.0}, "a start time"),
        ({"memory_target": 64 << 20}, "memory target 64 MiB, vCPU target 1"),
        ({"vcpu_target": 2}, "memory target 128 MiB, vCPU target 2"),
    ],
)
def test_each_broken_promise_is_named(changed: dict[str, Any], words: str) -> None:
    assert broken(replace(SEEN, state=STATE.model_copy(update=changed))) == [words]


def test_a_device_must_be_both_active_and_plugged() -> None:
    for half in ({"active": False}, {"plugged": False}):
        vbds = (SEEN.vbds[0], (METADATA.vbds[1], PLUGGED_VBD.model_copy(update=half)))
        assert broken(replace(SEEN, vbds=vbds)) == ["VBDs active and plugged: 1 of 2"]
        vifs = ((METADATA.vifs[0], PLUGGED_VIF.model_copy(update=half)),)
        assert broken(replace(SEEN, vifs=vifs)) == ["VIFs active and plugged: 0 of 1"]


def test_a_vm_without_devices_is_not_what_was_started() -> None:
    assert broken(replace(SEEN, vbds=(), vifs=())) == [
        "VBDs active and plugged: 0 of 0",
        "VIFs active and plugged: 0 of 0",
    ]
