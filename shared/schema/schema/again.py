"""Again: requests that may be sent again, and the errors after which it is worth it, as their sentences end.

The errors of the interface are the original's and have no room for more than a sentence, so a client that
tries again by itself goes by these ends; people read the same.
"""

import re

from schema.objects.errors import Error, InternalError, ObserverError

UNDONE = "nothing was done; ask again"
"""How an error ends that promises that its request has had no effect, and will have none."""

UNDECIDED = "look at the tasks before you submit it again"
"""How an error ends that promises nothing: the request may be accepted, or not."""

REPEATED_S = 120.0
"""How long after its first attempt a client may repeat a request by its id: a redirector knows it longer."""

_ID = re.compile(r"once\.[0-9a-f]{32}")

_LOOKS = (
    ".stat",
    ".list",
    ".exists",
    ".last_id",
    "query",
    "get_diagnostics",
    "UPDATES.get",
    "VM.export_metadata",
)
"""How methods end that change nothing."""


def once_id(number: int) -> str:
    """The id of a request that is done once, however often it comes; `number` is one's own, of 128 bits."""
    return f"once.{number:032x}"


def is_id(id_: object) -> bool:
    """Whether a request that has this id is meant to be done once; others count from 1, each for himself."""
    return isinstance(id_, str) and _ID.fullmatch(id_) is not None


def is_look(method: str) -> bool:
    """Whether a call changes nothing, so that it may always be made again."""
    return method.endswith(_LOOKS)


def undone(sentence: str) -> InternalError:
    """The error of a request that has had no effect: `sentence` says why, and what is missing."""
    return InternalError(message=f"{sentence}; {UNDONE}")


def is_undone(error: Error | ObserverError) -> bool:
    """Whether a request is known to have had no effect, only because somebody was away."""
    return isinstance(error, InternalError) and error.message.endswith(UNDONE)


def is_undecided(error: Error | ObserverError) -> bool:
    """Whether nobody knows what became of a request."""
    return isinstance(error, InternalError) and error.message.endswith(UNDECIDED)
