"""XML-RPC as rpclib reads and writes it: wire values, calls and responses; the only importer of defusedxml.

Integers and strings both go out as bare text, so an integer comes in as a string, which every reader of an
integer takes. Characters that XML has no place for are left out of values. A member's name goes out as it is,
as the original's does, but for `<` and `&`, which would make other XML of it.
"""

import base64
import binascii
from typing import Any
from xml.etree.ElementTree import Element, ParseError, TreeBuilder

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import XMLParser
from typing_extensions import override

from schema.wire.lenient import MAX_DEPTH
from schema.wire.scalars import float_of_text, integer_of_text
from schema.wire.value import Dict

_HEAD = '<?xml version="1.0"?>'
_ESCAPES = {code: None for code in range(0x20) if chr(code) not in "\t\n\r"} | {
    ord(">"): "&gt;",
    ord("<"): "&lt;",
    ord("&"): "&amp;",
    ord('"'): "&quot;",
}
_NAME_ESCAPES = {ord("<"): "&lt;", ord("&"): "&amp;"}
_ELEMENT_DEPTH_MAX = 3 * MAX_DEPTH
"""An array in an array is three elements deeper: `value`, `array`, `data`."""

_EMPTY: dict[str, Any] = {"string": "", "array": [], "struct": Dict(), "nil": None, "value": ""}
_BLANK = " \n\t"


class XmlError(Exception):
    """A text is no XML-RPC; the sentence says what is wrong with it."""


def encode_value(value: Any) -> str:
    """A wire value, byte for byte as the original writes it."""
    parts: list[str] = []
    _write(value, parts)
    return "".join(parts)


def encode_call(name: str, params: list[Any]) -> bytes:
    """A call as the original's client writes it."""
    values = "".join(f"<param>{encode_value(param)}</param>" for param in params)
    call = f"<methodName>{_escaped(name)}</methodName><params>{values}</params>"
    return _bytes(f"{_HEAD}<methodCall>{call}</methodCall>")


def encode_response(content: Any, *, success: bool) -> bytes:
    """A response: the result of a call, or why it failed."""
    status = [("Status", "Success"), ("Value", content)]
    value = Dict(status if success else [("Status", "Failure"), ("ErrorDescription", content)])
    return _bytes(
        f"{_HEAD}<methodResponse><params><param>{encode_value(value)}</param></params></methodResponse>"
    )


def decode_value(text: bytes) -> Any:
    """A wire value.

    Raises:
        XmlError: it is none.
    """
    return _value(_parse(text))


def decode_call(text: bytes) -> tuple[str, list[Any]]:
    """A call: the method's name, and the positional parameters.

    Raises:
        XmlError: it is none.
    """
    call = _parse(text)
    parts = _children(_named(call, "methodCall"))
    if not 1 <= len(parts) <= 2:
        raise XmlError("a methodCall has a methodName and params")
    name = _text(_named(parts[0], "methodName"))
    params = [_param(param) for part in parts[1:] for param in _children(_named(part, "params"))]
    return name, params


def decode_response(text: bytes) -> tuple[bool, Any]:
    """Whether a call succeeded, and its result, or why it failed.

    Raises:
        XmlError: it is no response.
    """
    (content,) = _some(_children(_named(_parse(text), "methodResponse")), "methodResponse")
    if content.tag == "fault":
        return False, _value(_only(content))
    value = _param(_only(_named(content, "params")))
    if isinstance(value, Dict):
        status = value.get("Status")
        if status == "Success" and "Value" in value:
            return True, value.get("Value")
        if status == "Failure" and "ErrorDescription" in value:
            return False, value.get("ErrorDescription")
    return True, value


def _write(value: Any, parts: list[str]) -> None:
    match value:
        case None:
            parts.append("<value><nil/></value>")
        case bool():
            parts.append(f"<value><boolean>{value:d}</boolean></value>")
        case int():
            parts.append(f"<value>{value}</value>")
        case float():
            parts.append(f"<value><double>{value:.16g}</double></value>")
        case str():
            parts.append(f"<value>{_escaped(value)}</value>")
        case Dict():
            parts.append("<value><struct>")
            for name, content in value.pairs:
                parts.append(f"<member><name>{name.translate(_NAME_ESCAPES)}</name>")
                _write(content, parts)
                parts.append("</member>")
            parts.append("</struct></value>")
        case _:
            parts.append("<value><array><data>")
            for item in value:
                _write(item, parts)
            parts.append("</data></array></value>")


def _escaped(text: str) -> str:
    return text.translate(_ESCAPES)


class _Builder(TreeBuilder):
    """Elements as they come, but not without end."""

    def __init__(self) -> None:
        super().__init__()
        self._depth = 0

    @override
    def start(self, tag: str, attrs: dict[str, str]) -> Element:
        self._depth += 1
        if self._depth > _ELEMENT_DEPTH_MAX:
            raise XmlError(f"values are nested deeper than {MAX_DEPTH} levels")
        return super().start(tag, attrs)

    @override
    def end(self, tag: str) -> Element:
        self._depth -= 1
        return super().end(tag)


def _parse(text: bytes) -> Element:
    parser = XMLParser(target=_Builder())
    try:
        parser.feed(text)
        root: Element = parser.close()
    except (ParseError, DefusedXmlException, ValueError, LookupError) as error:
        raise XmlError(f"no XML that is taken: {error}") from error
    return root


def _value(element: Element) -> Any:
    """`<value>`: its text, or the one element within; what is blank around that does not count."""
    _named(element, "value")
    if not len(element):
        return element.text or ""
    content = _only(element)
    if not len(content) and not content.text:
        if content.tag not in _EMPTY:
            raise XmlError(f"a {content.tag} is empty")
        empty = _EMPTY[content.tag]
        return Dict() if isinstance(empty, Dict) else list(empty) if isinstance(empty, list) else empty
    return _typed(content)


def _typed(content: Element) -> Any:
    match content.tag:
        case "int" | "i4" | "i8":
            return _number(integer_of_text(_text(content), 64), content)
        case "boolean":
            return _text(content) == "1"
        case "double":
            return _number(float_of_text(_text(content)), content)
        case "string" | "dateTime.iso8601":
            return _text(content)
        case "base64":
            return _base64(_text(content))
        case "array":
            return [_value(item) for item in _children(_named(_only(content), "data"))]
        case "struct":
            return Dict(map(_member, _children(content)))
        case tag:
            raise XmlError(f"{tag} is no type of a value, or must be empty")


def _member(element: Element) -> tuple[str, Any]:
    parts = _children(_named(element, "member"))
    if len(parts) != 2:
        raise XmlError("a member has a name and a value")
    return _text(_named(parts[0], "name")), _value(parts[1])


def _param(element: Element) -> Any:
    return _value(_only(_named(element, "param")))


def _number(number: float | None, element: Element) -> float:
    if number is None:
        raise XmlError(f"{element.text!r} is no {element.tag}")
    return number


def _base64(text: str) -> str:
    try:
        return base64.b64decode(text, validate=True).decode("utf-8", "surrogateescape")
    except binascii.Error as error:
        raise XmlError(f"what is no base64 stands for some: {error}") from error


def _named(element: Element, name: str) -> Element:
    if element.tag != name:
        raise XmlError(f"{element.tag} stands where {name} was expected")
    return element


def _text(element: Element) -> str:
    if len(element):
        raise XmlError(f"a {element.tag} has no elements within")
    return element.text or ""


def _only(element: Element) -> Element:
    (child,) = _some(_children(element), element.tag)
    return child


def _some(children: list[Element], name: str) -> list[Element]:
    if len(children) != 1:
        raise XmlError(f"a {name} has one element within, not {len(children)}")
    return children


def _children(element: Element) -> list[Element]:
    """The elements within, and nothing but blanks around them."""
    children = list(element)
    for text in (element.text, *(child.tail for child in children)):
        if text and text.strip(_BLANK):
            raise XmlError(f"text stands between the elements of a {element.tag}")
    return children


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
