"""Faults: what the simulator shall do wrong, and when: be slow, fail, hang, or kill the worker.

A documented part of the simulator's settings, for whoever wants to see what a client or an operator makes of
a misbehaving hypervisor. Faults come as JSON:

    [{"verb": "VM.build", "effect": {"kind": "delay", "seconds": 0.5}},
     {"verb": "*", "vm": "web-1", "call": 7, "effect": {"kind": "fail"}}]
"""

import os
import signal
import threading
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from schema.fault import XenopsError, internal_error
from schema.objects.errors import Error, InternalError

from engine.backend import Execution

_NAP_S = 60.0
"""A verb that hangs wakes up so often, to hang on."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Delay(_Frozen):
    """The verb takes so long; a cancel ends the wait."""

    kind: Literal["delay"] = "delay"
    seconds: float = Field(ge=0)


class Fail(_Frozen):
    """The verb fails before it does anything."""

    kind: Literal["fail"] = "fail"
    error: Error = InternalError(message="The simulator was told to fail here")


class Hang(_Frozen):
    """The verb does not end until it is cancelled."""

    kind: Literal["hang"] = "hang"


class Crash(_Frozen):
    """The worker process is killed as the verb begins."""

    kind: Literal["crash"] = "crash"


Effect = Annotated[Delay | Fail | Hang | Crash, Field(discriminator="kind")]
"""What goes wrong."""


class Fault(_Frozen):
    """One thing that goes wrong: at every call of a verb, or at the `call`-th one (from 1) only.

    `verb` is as in `engine.backend`, `VM.build`; `*` is any verb that runs in a task. No `vm`: any VM.
    """

    verb: str
    vm: str | None = None
    call: int | None = Field(default=None, ge=1)
    effect: Effect


_FAULTS: TypeAdapter[tuple[Fault, ...]] = TypeAdapter(tuple[Fault, ...])


def parse_faults(text: str) -> tuple[Fault, ...]:
    """Faults from JSON.

    Raises:
        ValueError: it is none; the text names what is wrong.
    """
    try:
        return _FAULTS.validate_json(text or "[]")
    except ValidationError as error:
        raise ValueError(f"No faults for the simulator: {error}") from error


class Faults:
    """Counts the calls of verbs and does what is due."""

    def __init__(self, faults: tuple[Fault, ...]) -> None:
        self._faults = faults
        self._lock = threading.Lock()
        self._calls = [0] * len(faults)

    def meet(self, execution: Execution, verb: str, vm: str) -> None:
        """A verb begins: raises, waits or kills as the faults say."""
        if not self._faults:
            return
        for effect in self._due(verb, vm):
            _suffer(effect, execution)

    def _due(self, verb: str, vm: str) -> list[Effect]:
        due = []
        with self._lock:
            for index, fault in enumerate(self._faults):
                if fault.verb in {verb, "*"} and fault.vm in {vm, None}:
                    self._calls[index] += 1
                    if fault.call in {self._calls[index], None}:
                        due.append(fault.effect)
        return due


def _suffer(effect: Effect, execution: Execution) -> None:
    match effect:
        case Delay(seconds=seconds):
            execution.wait(seconds)
        case Fail(error=error):
            raise XenopsError(error)
        case Hang():
            while True:
                execution.wait(_NAP_S)
        case Crash():
            os.kill(os.getpid(), signal.SIGKILL)
            raise internal_error("The simulator was told to kill its worker, and could not")
