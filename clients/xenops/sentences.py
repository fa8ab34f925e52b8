"""Sentences: an error in the words that all of the product has for it, and by which command one sees more."""

from typing import Any

from schema.objects.errors import DoesNotExist, Error
from schema.sentences import missing_device
from schema.sentences import sentence as plain
from schema.wire import json
from schema.wire.codec import from_rpc
from schema.wire.errors import MarshalError

_WHAT_THERE_IS = {
    "VM": "`xenops list` shows the VMs",
    "task": "`xenops tasks` shows the tasks",
    "waiting task": "`xenops lanes VM` shows what waits for a VM",
    "worker": "`xenops workers` shows the workers",
    **dict.fromkeys(("VBD", "VIF", "PCI", "VGPU", "VUSB"), "`xenops stat VM` shows a VM's devices"),
}
"""By what an id is of, the command that shows all of them."""


def sentence(error: Error) -> str:
    """An error in words."""
    told = plain(error)
    missing = missing_device(error)
    if missing is not None:
        return f"{told}: `xenops stat {missing.vm}` shows what it has"
    if isinstance(error, DoesNotExist) and (shown := _WHAT_THERE_IS.get(error.klass)):
        return f"{told}: {shown}"
    return told


def sentence_of(error: Any) -> str:
    """An error as it stands in a task, in words; one that this version does not know, as it stands there."""
    try:
        read: Error = from_rpc(Error, error)
    except MarshalError:
        return json.dumps(error)
    return sentence(read)
