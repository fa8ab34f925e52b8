"""SMAPIv2: what is asked of a storage service, and what it answers, as the original's services have it."""

import json as plain_json
from itertools import count
from typing import Annotated, Any, Literal

from pydantic import Field
from schema.fault import XenopsError, internal_error
from schema.objects.errors import DoesNotExist, StorageBackendError
from schema.wire import json
from schema.wire.codec import from_rpc
from schema.wire.errors import JsonError, MarshalError
from schema.wire.types import Arm, AssocList, Struct, Variant
from schema.wire.value import Dict

from engine.hosted.machine import Source

_EXPORT = "exportname="


class XenDiskInfo(Struct):
    """`xendisk`."""

    params: str
    extra: Annotated[tuple[tuple[str, str], ...], AssocList()]
    backend_type: str


class PathInfo(Struct):
    """`block_device`, `file`."""

    path: str


class NbdInfo(Struct):
    """`nbd`: `nbd:unix:<socket>:exportname=<name>`."""

    uri: str


class XenDisk(Arm):
    """`implementation`, arm `XenDisk`: for a Xen's own block backends."""

    kind: Literal["XenDisk"] = "XenDisk"
    info: XenDiskInfo


class BlockDevice(Arm):
    """`implementation`, arm `BlockDevice`."""

    kind: Literal["BlockDevice"] = "BlockDevice"
    info: PathInfo


class File(Arm):
    """`implementation`, arm `File`: raw."""

    kind: Literal["File"] = "File"
    info: PathInfo


class Nbd(Arm):
    """`implementation`, arm `Nbd`."""

    kind: Literal["Nbd"] = "Nbd"
    info: NbdInfo


class Another(Arm):
    """One of a later version."""

    kind: Literal["Another"] = "Another"


Implementation = Annotated[
    XenDisk | BlockDevice | File | Nbd | Another,
    Field(discriminator="kind"),
    Variant("implementation", default=Another()),
]


class Attached(Struct):
    """`backend`: the ways to a disk that is attached."""

    implementations: tuple[Implementation, ...]


class BackendErrorWithBacktrace(Arm):
    """`Errors.error`: the first of `params` is a backtrace."""

    kind: Literal["Backend_error_with_backtrace"] = "Backend_error_with_backtrace"
    code: str
    params: tuple[str, ...]


class BackendError(Arm):
    """`Errors.error`: what a driver says, as `SR_BACKEND_FAILURE_46`."""

    kind: Literal["Backend_error"] = "Backend_error"
    code: str
    params: tuple[str, ...]


class VdiDoesNotExist(Arm):
    """`Errors.error`."""

    kind: Literal["Vdi_does_not_exist"] = "Vdi_does_not_exist"
    vdi: str


class OtherError(Arm):
    """`Errors.error`: any other, which has no counterpart in our interface."""

    kind: Literal["Unknown_error"] = "Unknown_error"


StorageError = Annotated[
    BackendErrorWithBacktrace | BackendError | VdiDoesNotExist | OtherError,
    Field(discriminator="kind"),
    Variant("error", default=OtherError()),
]

_ids = count(1)


def encode_call(method: str, params: dict[str, str | bool]) -> bytes:
    """A call as the original's client makes it."""
    call = {"method": method, "params": [params], "id": next(_ids)}
    return plain_json.dumps(call, ensure_ascii=False).encode("utf-8", "surrogateescape")


def decode_answer(type_: Any, what: str, vdi: str, body: bytes) -> Any:
    """What a call was answered; `what` was attempted on the disk `vdi`.

    Errors: `Storage_backend_error`, `Does_not_exist("VDI", vdi)`, `Internal_error`.
    """
    text = body.decode("utf-8", "surrogateescape")
    try:
        result, failure = _response(text)
        if failure is None:
            return from_rpc(type_, result)
        refused = from_rpc(StorageError, failure)
    except (JsonError, MarshalError) as error:
        raise internal_error(
            f"Cannot {what}: the storage service answered with what is no answer to that ({error}): "
            f"{text[:_SHOWN]}"
        ) from error
    raise _failure(refused, what, vdi, text)


def _response(text: str) -> tuple[Any, Any]:
    """Result and error. Errors: `JsonError`, `MarshalError`."""
    answer = json.loads(text)
    if not isinstance(answer, Dict) or "result" not in answer or "error" not in answer:
        raise MarshalError("it has no result and no error")
    return answer.get("result"), answer.get("error")


_SHOWN = 400
"""Characters of an answer in an error."""


def _failure(error: StorageError, what: str, vdi: str, text: str) -> XenopsError:
    match error:
        case BackendErrorWithBacktrace(code=code, params=(_, *params)):
            return XenopsError(StorageBackendError(code=code, args=tuple(params)))
        case BackendError(code=code, params=args) | BackendErrorWithBacktrace(code=code, params=args):
            return XenopsError(StorageBackendError(code=code, args=args))
        case VdiDoesNotExist():
            return XenopsError(DoesNotExist(klass="VDI", id=vdi))
        case OtherError():
            return internal_error(f"Cannot {what}: the storage service refuses: {text[:_SHOWN]}")


def source_of(attached: Attached, what: str, *, takes_nbd: bool) -> Source:
    """The best way to a disk for who opens devices and files, and perhaps connects to NBD servers.

    The best is a device, then a file, an NBD server, what is Xen's. A service's content is raw, whatever
    its name. What Xen's drivers shall be told comes along, whichever way it is.

    Errors: `Internal_error`, there is no way.
    """
    ways = [found for found in map(_way, attached.implementations) if found is not None]
    ways = [(rank, source) for rank, source in ways if takes_nbd or source.export is None]
    if not ways:
        kinds = ", ".join(each.kind for each in attached.implementations) or "none"
        possible = "a device, a file or an NBD server on a Unix socket" if takes_nbd else "a device or a file"
        raise internal_error(
            f"Cannot {what}: of the storage service's ways to it ({kinds}) none is {possible} of this host"
        )
    best = min(ways, key=lambda way: way[0])[1]
    told = (each.info.extra for each in attached.implementations if isinstance(each, XenDisk))
    return best.model_copy(update={"extra": next(told, ())})


def _way(implementation: Implementation) -> tuple[int, Source] | None:
    """With its rank, the best first."""
    match implementation:
        case BlockDevice(info=PathInfo(path=path)) if path.startswith("/"):
            return 0, Source(path=path, format="raw", is_device=True)
        case File(info=PathInfo(path=path)) if path.startswith("/"):
            return 1, Source(path=path, format="raw")
        case Nbd(info=NbdInfo(uri=uri)):
            socket, export = _parts(uri)
            return (2, Source(path=socket, format="raw", export=export)) if socket else None
        case XenDisk(info=XenDiskInfo(params=path)) if path.startswith("/dev/"):
            return 3, Source(path=path, format="raw", is_device=True)
        case _:
            return None


def _parts(uri: str) -> tuple[str, str]:
    """Socket and export of `nbd:unix:<socket>:exportname=<name>`; empty: it is another kind of address."""
    match uri.split(":", 3):
        case ["nbd", "unix", socket, rest] if socket.startswith("/") and rest.startswith(_EXPORT):
            return socket, rest.removeprefix(_EXPORT)
        case _:
            return "", ""
