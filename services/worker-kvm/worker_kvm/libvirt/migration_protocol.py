"""Migration protocol: what two workers on libvirt say to each other, on a line beside a VM's image.

source                     destination
Offer            ------>                   its domain as libvirt describes it, and libvirt's cookie
                 <------   Accepted        a domain waits for the state; lines follow, then
Performed        ------>                   the guest stands still, and all of it is over there

SendsFile        ------>                   or: the domain is saved to a file, which is the image
                 <------   WantsFile       or, of an offer: send a file, libvirt cannot take it otherwise
                 <------   Refused         or: why not
"""

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Annotated, Literal

from engine.backend import Execution
from engine.image import ImageStream
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from schema.fault import XenopsError, internal_error
from schema.objects.errors import InternalError

from worker_kvm.qemu.mirrored import Mirrored

TALK_LINE, STATE_LINE = "libvirt", "state"
"""The lines by name; a disk's is called by its target, `sda`."""

_LENGTH = struct.Struct("<I")
_BYTES_MAX = 16 << 20


class _Word(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Offer(_Word):
    """The source's domain can go while its guest runs."""

    kind: Literal["offer"] = "offer"
    host: tuple[str, str]
    """How its libvirtd tells its host from others: a UUID and a name."""
    document: str
    cookie: str
    mirrored: tuple[Mirrored, ...] = ()


class SendsFile(_Word):
    """The source's libvirt cannot do better."""

    kind: Literal["sends file"] = "sends file"


class Performed(_Word):
    """The guest stands still, and its state is over there."""

    kind: Literal["performed"] = "performed"
    cookie: str


class Accepted(_Word):
    """A domain waits for the state."""

    kind: Literal["accepted"] = "accepted"
    cookie: str


class WantsFile(_Word):
    """The destination's libvirt cannot do better; none takes what its own host sends."""

    kind: Literal["wants file"] = "wants file"


class Refused(_Word):
    """The VM is not taken in; the sentence says why."""

    kind: Literal["refused"] = "refused"
    reason: str


Word = Offer | SendsFile | Performed | Accepted | WantsFile | Refused

_WORDS: TypeAdapter[Word] = TypeAdapter(Annotated[Word, Field(discriminator="kind")])


class Talk:
    """One side's end."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def say(self, word: Word) -> None:
        """Errors: `Internal_error`, nobody listens any more."""
        content = _WORDS.dump_json(word)
        try:
            self._connection.sendall(_LENGTH.pack(len(content)) + content)
        except OSError as error:
            raise _lost(str(error)) from error

    def hear(self) -> Word:
        """What the other side says. Errors: `Internal_error`, it has gone, or makes no sense, or refuses."""
        (length,) = _LENGTH.unpack(self._read(_LENGTH.size))
        if length > _BYTES_MAX:
            raise internal_error(f"the other host says {length} bytes at once: is it xenops on libvirt?")
        try:
            word = _WORDS.validate_json(self._read(length))
        except ValidationError as error:
            raise internal_error(f"what the other host says makes no sense: {error}") from error
        if isinstance(word, Refused):
            raise internal_error(word.reason)
        return word

    def _read(self, size: int) -> bytes:
        content = b""
        while len(content) < size:
            try:
                piece = self._connection.recv(size - len(content))
            except OSError as error:
                raise _lost(str(error)) from error
            if not piece:
                raise _lost("the other side has closed it")
            content += piece
        return content


@contextmanager
def talking(stream: ImageStream, execution: Execution) -> Iterator[Talk]:
    """A talk with the other host; what is raised inside, it hears. A cancel ends it.

    Errors: those of `ImageStream.line`.
    """
    line = stream.line(TALK_LINE)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        thread = threading.Thread(target=line.carry, args=(theirs,), name="talk", daemon=True)
        thread.start()
        talk = Talk(ours)
        try:
            with execution.cancellable(line.shut):
                yield talk
        except XenopsError as error:
            with suppress(XenopsError):
                talk.say(Refused(reason=_words(error)))
            execution.check_cancelled()
            raise
        finally:
            ours.shutdown(socket.SHUT_WR)  # what was said last goes over first
            thread.join()


def unexpected(word: Word) -> XenopsError:
    """What is said of one that does not belong there."""
    return internal_error(f"the other host says {word.kind!r} out of turn")


def _words(error: XenopsError) -> str:
    return error.error.message if isinstance(error.error, InternalError) else str(error.error)


def _lost(reason: str) -> XenopsError:
    return internal_error(f"the connection to the other host was lost: {reason}")
