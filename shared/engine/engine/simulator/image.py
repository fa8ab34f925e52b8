"""Suspend images: the original's container, a signature and (type, length) records, around a saved domain."""

import hashlib
import struct

from schema.fault import internal_error
from schema.objects.disk import Disk
from schema.wire.codec import MarshalError, decode_text, encode_text
from schema.wire.errors import JsonError

from engine.simulator.machine import Domain

_SIGNATURE = b"XenSavedDomv2-\n"
_HEADER = struct.Struct("<qq")
"""Type and length of a record."""

_XENOPS = 0x0F
_END = 0xFFFF


def image_name(disk: Disk) -> str:
    """The simulated disk's name: simulated, so that no client's path ever names a file of the real host."""
    return hashlib.sha256(disk.model_dump_json().encode()).hexdigest()


def write_image(domain: Domain) -> bytes:
    """A domain as an image."""
    text = encode_text(Domain, domain).encode("utf-8", "surrogateescape")
    return _SIGNATURE + _HEADER.pack(_XENOPS, len(text)) + text + _HEADER.pack(_END, 0)


def read_image(content: bytes | None, vm: str) -> Domain:
    """A domain from an image.

    Errors: `Internal_error` that says what is wrong with it; None is no image at all.
    """
    if content is None:
        raise internal_error(f"Cannot resume VM {vm}: there is no suspend image on the disk given")
    try:
        domain: Domain = decode_text(Domain, _xenops_record(content))
    except (ValueError, struct.error, JsonError, MarshalError) as error:
        raise internal_error(f"Cannot resume VM {vm}: its suspend image is damaged: {error}") from error
    return domain


def _xenops_record(content: bytes) -> str:
    """The first record, which must be ours. Raises ValueError or struct.error."""
    if not content.startswith(_SIGNATURE):
        raise ValueError("it does not begin with the signature")
    kind, length = _HEADER.unpack_from(content, len(_SIGNATURE))
    start = len(_SIGNATURE) + _HEADER.size
    if kind != _XENOPS or not 0 <= length <= len(content) - start:
        raise ValueError(f"a record of type {kind:#x} with {length} bytes comes first")
    return content[start : start + length].decode("utf-8", "surrogateescape")
