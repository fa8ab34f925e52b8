"""Every error of the interface as people read it, on the page, in a terminal, in a toolstack."""

from pathlib import Path
from typing import Any, get_args

from schema.objects.errors import Error
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
