"""Features: what a CPU can, as the words of 32 bits in which toolstacks hand it on: `17cbfbff-f7fa3223`."""

from collections.abc import Sequence
from itertools import zip_longest

_WORD_BITS = 32


def words_of(features: Sequence[int]) -> str:
    """As text."""
    return "-".join(f"{word:08x}" for word in features)


def combined(first: str, second: str) -> str:
    """What both can. Errors: ValueError, one is no list of words."""
    pairs = zip_longest(features_of(first), features_of(second), fillvalue=0)
    return words_of([one & other for one, other in pairs])


def is_subset(wanted: str, offered: str) -> bool:
    """Whether all that is wanted is offered. Errors: as of `combined`."""
    return all(
        not one & ~other for one, other in zip_longest(features_of(wanted), features_of(offered), fillvalue=0)
    )


def features_of(text: str) -> list[int]:
    """The words of a text; no text, no features. Errors: ValueError."""
    if not text:
        return []
    words = [int(word, 16) for word in text.split("-")]
    if any(not 0 <= word < 1 << _WORD_BITS for word in words):
        raise ValueError(f"a word of {text!r} has more than {_WORD_BITS} bits")
    return words
