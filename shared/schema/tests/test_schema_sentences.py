"""Every error of the interface as people read it, on the page, in a terminal, in a toolstack."""

from pathlib import Path
from typing import Any, get_args

import pytest
from schema.objects.errors import AlreadyExists, DoesNotExist, Error
from schema.objects.vm import PowerState
from schema.sentences import sentence

GOLDEN = Path(__file__).parent / "sentences.txt"
SAMPLES: dict[Any, Any] = {
    str: "x",
    int: 5,
    float: 1.5,
    tuple[str, ...]: ("a", "b"),
    PowerState: "Halted",
}
"""By a field's type, what stands in it here; an id of a VM may come as that of its configuration file."""


def a_sample(arm: type[Any]) -> Error:
    fields = {name: SAMPLES[field.annotation] for name, field in arm.model_fields.items() if name != "kind"}
    error: Error = arm(**({**fields, "id": "x/config"} if "id" in fields else fields))
    return error


def test_every_error_has_its_sentence() -> None:
    errors = map(a_sample, get_args(get_args(Error)[0]))
    told = [f"{error.kind}: {sentence(error)}" for error in errors]
    assert told == GOLDEN.read_text().splitlines()


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (DoesNotExist(klass="VM", id="v1/config"), "there is no VM v1"),
        (DoesNotExist(klass="VM", id="v1/vbd.xvda"), "the VM v1 has no VBD xvda"),
        (DoesNotExist(klass="PCI", id="v1/pci.0000:04:00.0"), "the VM v1 has no PCI 0000:04:00.0"),
        (DoesNotExist(klass="VM", id="v1/disk.xvda"), "there is no VM v1/disk.xvda"),
        (
            AlreadyExists(klass="VM", id="VM/v1/config"),
            "the VM v1 exists already: remove it first, or choose another name",
        ),
        (
            AlreadyExists(klass="vbd", id="Ide(2, 0)"),
            "another VBD of the VM has the place Ide(2, 0): unplug that, or give this one another name",
        ),
    ],
)
def test_of_files_of_the_store_their_vm_and_device_are_told(error: Error, told: str) -> None:
    assert sentence(error) == told
