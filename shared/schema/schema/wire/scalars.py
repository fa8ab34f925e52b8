"""Scalars: how OCaml reads numbers from strings, and what its integers do at their ends."""

import re

INT_BITS = 63
"""OCaml's native integers on a 64-bit machine."""

_INTEGER = re.compile(r"([-+]?)(?:0([xXoObBuU]))?([0-9A-Fa-f][0-9A-Fa-f_]*)")
_FLOAT = re.compile(
    r"[ \t\n\v\f\r]*[-+]?"
    r"(?:nan(?:\([a-z0-9]*\))?|inf(?:inity)?|(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[-+]?[0-9]+)?)",
    re.IGNORECASE,
)
_HEX_FLOAT = re.compile(
    r"[ \t\n\v\f\r]*(?P<sign>[-+]?)0x(?:[0-9a-f]+\.?[0-9a-f]*|\.[0-9a-f]+)(?:p[-+]?[0-9]+)?", re.IGNORECASE
)
_BASES = {"x": 16, "o": 8, "b": 2, "u": 10}


def wrap(value: int, bits: int) -> int:
    """`value` as a signed integer of so many bits: what does not fit comes round."""
    span = 1 << bits
    value &= span - 1
    return value - span if value >= span >> 1 else value


def integer_of_text(text: str, bits: int) -> int | None:
    """OCaml's `int_of_string` for an integer of so many bits; None where it raises.

    Decimal numbers must fit; those with a base prefix may use every bit and come round.
    """
    found = _INTEGER.fullmatch(text)
    if found is None:
        return None
    sign, prefix, digits = found.groups()
    try:
        magnitude = int(digits.replace("_", ""), _BASES[prefix.lower()] if prefix else 10)
    except ValueError:
        return None
    limit = 1 << (bits - 1)
    if prefix:
        value = -magnitude if sign == "-" else magnitude
        return wrap(value, bits) if magnitude < limit << 1 else None
    value = -magnitude if sign == "-" else magnitude
    return value if -limit <= value < limit else None


def float_of_text(text: str) -> float | None:
    """OCaml's `float_of_string`; None where it raises.

    That is C's `strtod` on the text without its underscores: blanks may lead, digits may be hexadecimal.
    """
    digits = text.replace("_", "")
    if (found := _HEX_FLOAT.fullmatch(digits)) is not None:
        try:
            return float.fromhex(digits.strip())
        except OverflowError:
            return float(f"{found['sign']}inf")
    if _FLOAT.fullmatch(digits) is not None:
        return float(digits.partition("(")[0])
    return None


def text_of_float(value: float) -> str:
    """A float as Yojson writes it: 16 digits where they tell it exactly, else 17, never like an integer."""
    if value != value:  # noqa: PLR0124  not a number is the one value that differs from itself
        return "NaN"
    if value in (float("inf"), float("-inf")):
        return "Infinity" if value > 0 else "-Infinity"
    text = f"{value:.16g}"
    if float(text) != value:
        text = f"{value:.17g}"
    return text if any(mark in text for mark in ".e") else text + ".0"


def quoted(text: str) -> str:
    """A string as OCaml's `%S` shows it: bytes that are not printable ASCII stand in decimal."""
    return '"' + "".join(map(_QUOTED.__getitem__, text.encode("utf-8", "surrogateescape"))) + '"'


_QUOTED = [chr(byte) if 0x20 <= byte < 0x7F else f"\\{byte:03d}" for byte in range(256)]
for _letter, _name in (('"', '"'), ("\\", "\\"), ("\n", "n"), ("\t", "t"), ("\r", "r"), ("\b", "b")):
    _QUOTED[ord(_letter)] = f"\\{_name}"
