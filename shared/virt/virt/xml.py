"""Xml: libvirt's documents, written from values and read into a tree; none is put together by hand."""

import re
from xml.etree import ElementTree as ET

from virt.values import VirtError

Element = ET.Element
"""A node of a document."""

_IMPOSSIBLE = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 cannot say, escaped or not."""


class ImpossibleTextError(VirtError):
    """A text has characters that no XML document can carry, so libvirt is not even asked."""


def node(tag: str, /, *children: Element, text: str | None = None, **attributes: str | int) -> Element:
    """An element of a document.

    Raises:
        ImpossibleTextError: a value has control characters.
    """
    made = ET.Element(tag, {name: _sayable(str(value)) for name, value in attributes.items()})
    made.extend(children)
    if text is not None:
        made.text = _sayable(text)
    return made


def written(element: Element) -> str:
    """As libvirt takes it."""
    return ET.tostring(element, encoding="unicode")


def parsed(text: str) -> Element:
    """What libvirt has said."""
    return ET.fromstring(text)  # noqa: S314  libvirt has written it


def attribute(element: Element, path: str, name: str) -> str | None:
    """An attribute of the first element at a path; None when there is none."""
    found = element.find(path)
    return None if found is None else found.get(name)


def _sayable(text: str) -> str:
    if found := _IMPOSSIBLE.search(text):
        raise ImpossibleTextError(f"{text!r} has the character {found[0]!r}, which libvirt cannot be told")
    return text
