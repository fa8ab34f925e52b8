"""Readers: from wire values to Python values, by rpclib's rules, with rpclib's error texts."""

import re
from collections.abc import Callable
from typing import Any

from schema.wire.errors import AbstractError, MarshalError
from schema.wire.scalars import float_of_text, integer_of_text, wrap
from schema.wire.shape import (
    Association,
    Choice,
    Enumeration,
    Field,
    Integer,
    Opaque,
    Optional,
    Product,
    Scalar,
    Sequence,
    Shape,
    Structure,
    Sum,
    shape_of,
)
from schema.wire.value import NULL, Dict, text_of

Reader = Callable[[Any], Any]


def reader_of(annotation: Any) -> Reader:
    """The reader of a type; it raises `MarshalError`."""
    return _reader(shape_of(annotation))


def _reader(shape: Shape) -> Reader:
    match shape:
        case Scalar():
            return _SCALARS[shape.type]
        case Integer():
            return _integer(shape)
        case Opaque():
            return _OPAQUE[shape.name]
        case Optional():
            return _optional(shape)
        case Sequence():
            return _sequence(reader_of(shape.content))
        case Association():
            return _association(reader_of(shape.content))
        case Product():
            return _product(shape)
        case Structure():
            return _structure(shape)
        case Sum():
            return _sum(shape)
        case Enumeration():
            return _enumeration(shape)


def _expected(what: str, rpc: Any) -> MarshalError:
    return MarshalError(f"Expected {what}, got '{text_of(rpc)}'")


def _unit(rpc: Any) -> None:
    if rpc is not None:
        raise _expected("unit", rpc)


def _bool(rpc: Any) -> bool:
    if rpc is True or rpc is False:
        return bool(rpc)
    raise _expected("bool", rpc)


def _float(rpc: Any) -> float:
    if type(rpc) is float or type(rpc) is int:
        return float(rpc)
    if type(rpc) is str:
        value = float_of_text(rpc)
        if value is None:
            raise MarshalError(f"Expected float, got string '{rpc}'")
        return value
    raise _expected("float", rpc)


def _string(rpc: Any) -> str:
    if type(rpc) is str:
        return rpc
    raise _expected("string", rpc)


def _integer(shape: Integer) -> Reader:
    limit = 1 << (shape.bits - 1)

    def read(rpc: Any) -> int:
        if type(rpc) is int:
            return rpc if -limit <= rpc < limit else wrap(rpc, shape.bits)
        if type(rpc) is str:
            value = integer_of_text(rpc, shape.bits)
            if value is None:
                raise MarshalError(f"Expected {shape.name}, got string '{rpc}'")
            return value
        raise _expected(shape.name, rpc)

    return read


_UUID = re.compile(r"[0-9A-Fa-f]{8}-(?:[0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}")


def _uuid(rpc: Any) -> str:
    """Uuidm looks at 36 characters and at no more."""
    if type(rpc) is not str:
        raise MarshalError(f"typ_of_vm_uuid: expected rpc string but got {text_of(rpc)}")
    found = _UUID.match(rpc)
    if found is None:
        raise MarshalError(f"typ_of_vm_uuid: not a valid UUID: {rpc}")
    return found.group().lower()


def _cpu_policy(rpc: Any) -> str:
    if type(rpc) is not str:
        raise AbstractError(f"Expected string, got '{text_of(rpc)}'")
    return rpc


def _any(rpc: Any) -> Any:
    return NULL if rpc is None else rpc


def _optional(shape: Optional) -> Reader:
    read_content = reader_of(shape.content)

    def read(rpc: Any) -> Any:
        if type(rpc) is not list or len(rpc) > 1:
            raise MarshalError(f"Expecting an Enum value, got '{text_of(rpc)}'")
        return read_content(rpc[0]) if rpc else None

    return read


def _sequence(read_item: Reader) -> Reader:
    read_items = _items(read_item)

    def read(rpc: Any) -> Any:
        if type(rpc) is not list:
            raise MarshalError("Expecting array")
        return read_items(rpc)

    return read


def _association(read_item: Reader) -> Reader:
    read_items = _items(read_item)

    def read(rpc: Any) -> Any:
        if type(rpc) is not Dict:
            raise MarshalError("Unhandled")
        values = read_items([value for _, value in rpc.pairs])
        return tuple((key, value) for (key, _), value in zip(rpc.pairs, values, strict=True))

    return read


def _items(read_item: Reader) -> Callable[[list[Any]], tuple[Any, ...]]:
    """Reads all items; of several bad ones the original reports the last."""

    def read(items: list[Any]) -> tuple[Any, ...]:
        try:
            return tuple([read_item(item) for item in items])
        except AbstractError:
            raise
        except MarshalError as error:
            raise _last_failure(read_item, items, error) from None

    return read


def _last_failure(read_item: Reader, items: list[Any], failure: MarshalError) -> MarshalError:
    for item in items:
        try:
            read_item(item)
        except AbstractError:
            raise
        except MarshalError as error:
            words = f"Failed to unmarshal array: {error} (when unmarshalling: {text_of(item)})"
            failure = MarshalError(words)
    return failure


_TUPLE_ERRORS = {
    2: ("Too many items in a tuple!", "Expecting Rpc.Enum when unmarshalling a tuple"),
    3: (
        "Expecting precisely 3 items when unmarshalling a Tuple3",
        "Expecting Rpc.Enum when unmarshalling a tuple3",
    ),
    4: (
        "Expecting precisely 4 items in an Enum when unmarshalling a Tuple4",
        "Expecting Rpc.Enum when unmarshalling a tuple4",
    ),
}


def _product(shape: Product) -> Reader:
    read_parts = _parts(shape.contents)
    make = shape.make
    return lambda rpc: make(*read_parts(rpc))


def _parts(contents: tuple[Any, ...]) -> Callable[[Any], list[Any]]:
    readers = [reader_of(content) for content in contents]
    count = len(readers)
    wrong_count, wrong_type = _TUPLE_ERRORS[count]

    def read(rpc: Any) -> list[Any]:
        if type(rpc) is not list:
            raise MarshalError(wrong_type)
        if len(rpc) != count:
            raise MarshalError(wrong_count)
        return [reader(part) for reader, part in zip(readers, rpc, strict=True)]

    return read


def _structure(shape: Structure) -> Reader:
    fields = [(field.name, _field(field, shape.name)) for field in reversed(shape.fields)]
    construct = shape.type.model_construct

    def read(rpc: Any) -> Any:
        if type(rpc) is not Dict:
            raise MarshalError(f"Expecting Rpc.Dict when unmarshalling a '{shape.name}'")
        found: dict[str, Any] = {}
        for key, value in rpc.pairs:
            found.setdefault(_lower(key), value)
        return construct(**{name: read_field(found) for name, read_field in fields})

    return read


_MISSING = object()


def _field(field: Field, struct: str) -> Callable[[dict[str, Any]], Any]:
    """Reads one field from the struct's lowercased keys, by what it is: option, required, with a default."""
    shape = shape_of(field.type)
    key = _lower(field.name)
    if isinstance(shape, Optional):
        read = _optional_field(key, reader_of(shape.content))
    else:
        read = _required_field(key, _reader(shape), struct)
    return _or_default(read, field.default) if field.has_default else read


def _optional_field(key: str, read_content: Reader) -> Callable[[dict[str, Any]], Any]:
    def read(found: dict[str, Any]) -> Any:
        value = found.get(key, _MISSING)
        if value is _MISSING:
            return None
        try:
            return read_content(value)
        except AbstractError:
            return None

    return read


def _required_field(key: str, read_value: Reader, struct: str) -> Callable[[dict[str, Any]], Any]:
    def read(found: dict[str, Any]) -> Any:
        value = found.get(key, _MISSING)
        if value is _MISSING:
            raise MarshalError(f"No value found for key: '{key}' when unmarshalling '{struct}'")
        return read_value(value)

    return read


def _or_default(read: Callable[[dict[str, Any]], Any], default: Any) -> Callable[[dict[str, Any]], Any]:
    def read_or_default(found: dict[str, Any]) -> Any:
        try:
            return read(found)
        except AbstractError:
            raise
        except MarshalError:
            return default

    return read_or_default


def _tag_and_content(rpc: Any) -> tuple[str, Any]:
    if type(rpc) is str:
        return _lower(rpc), None
    if type(rpc) is list and len(rpc) == 2 and type(rpc[0]) is str:
        return _lower(rpc[0]), rpc[1]
    raise MarshalError("Expecting String or Enum when unmarshalling a variant")


def _sum(shape: Sum) -> Reader:
    arms = {_lower(choice.tag): _choice(choice) for choice in shape.choices}
    default = shape.default

    def read(rpc: Any) -> Any:
        tag, content = _tag_and_content(rpc)
        read_arm = arms.get(tag)
        if read_arm is not None:
            return read_arm(content)
        if default is None:
            raise MarshalError(f"Unknown tag '{tag}'")
        return default

    return read


def _choice(choice: Choice) -> Reader:
    class_ = choice.type
    names = [name for name, _ in choice.fields]
    if not names:
        arm = class_()

        def read_unit(rpc: Any) -> Any:
            _unit(rpc)
            return arm

        return read_unit
    if len(names) == 1:
        read_content = reader_of(choice.fields[0][1])
        return lambda rpc: class_.model_construct(**{names[0]: read_content(rpc)})
    read_parts = _parts(tuple(annotation for _, annotation in choice.fields))
    return lambda rpc: class_.model_construct(**dict(zip(names, read_parts(rpc), strict=True)))


def _enumeration(shape: Enumeration) -> Reader:
    members = {_lower(member.value): member for member in shape.type}

    def read(rpc: Any) -> Any:
        tag, content = _tag_and_content(rpc)
        member = members.get(tag)
        if member is None:
            raise MarshalError(f"Unknown tag '{tag}'")
        _unit(content)
        return member

    return read


_ASCII_LOWER = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}


def _lower(text: str) -> str:
    """OCaml's `String.lowercase_ascii`: other letters stay as they are."""
    return text.lower() if text.isascii() else text.translate(_ASCII_LOWER)


_SCALARS: dict[type, Reader] = {type(None): _unit, bool: _bool, float: _float, str: _string}
_OPAQUE: dict[str, Reader] = {"uuid": _uuid, "CPU_policy.t": _cpu_policy, "Rpc.t": _any}
