"""How a Python type says what its rpclib wire form is: bases and markers that the codec compiles."""

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, NamedTuple, NewType, TypeVar

from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import override

VmId = NewType("VmId", str)
"""Names a VM: `[A-Za-z0-9][A-Za-z0-9._-]{0,63}`, without `..` (see `schema.ids`)."""


class DeviceId(NamedTuple):
    """Names a device: its VM and its name within that VM, `["<vm>", "xvda"]` on the wire."""

    vm: str
    device: str


class Struct(BaseModel):
    """An rpclib struct: fields in declaration order (written in reverse), never changed once made."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="constants")

    wire_name: ClassVar[str] = ""

    @override
    def __init_subclass__(cls, *, wire: str = "", **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if wire:
            cls.wire_name = wire


class Arm(BaseModel):
    """One arm of a variant: `kind` is its tag; no further field is `unit`, one its content, more a tuple."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="constants")


@dataclass(frozen=True, slots=True)
class Variant:
    """Marks a union of arms as an rpclib variant; an unknown tag reads as `default` where there is one."""

    name: str
    default: Arm | None = None


@dataclass(frozen=True, slots=True)
class Width:
    """The width of an integer in bits; a plain `int` has OCaml's 63."""

    bits: int


@dataclass(frozen=True, slots=True)
class AssocList:
    """Marks a sequence of pairs as `(string * x) list`: an object on the wire, duplicates kept."""


@dataclass(frozen=True, slots=True)
class Abstract:
    """Marks a value with a reader of its own; `name` is the OCaml type."""

    name: str


def wire_default(value: Any) -> Any:
    """A field's default by rpclib's rule: taken when the field is missing, null or of the wrong type."""
    return Field(default=value, json_schema_extra={"wire_default": True})


Int64 = Annotated[int, Width(64)]
Int32 = Annotated[int, Width(32)]

Uuid = Annotated[str, Abstract("uuid")]
CpuPolicy = Annotated[str, Abstract("CPU_policy.t")]
Rpc = Annotated[Any, Abstract("Rpc.t")]
"""Any wire value; see `schema.wire.value`."""

X = TypeVar("X")
Assoc = Annotated[tuple[tuple[str, X], ...], AssocList()]
"""`(string * x) list`."""
