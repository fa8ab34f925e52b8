"""Schemas: JSON Schemas of all that travels, made of the types: `make asyncapi` keeps them in docs/schemas.

Objects and methods are as on the wire, by rpclib's rules (`schema.wire`): what services write, and what they
read. Records are as in the log, by pydantic's.
"""

import json
import re
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter
from schema.methods import Method
from schema.notices import Notice
from schema.objects.errors import Error, ObserverError
from schema.own_methods import ALL_METHODS
from schema.records import Envelope
from schema.wire.shape import (
    Association,
    Choice,
    Enumeration,
    Integer,
    Opaque,
    Optional,
    Product,
    Scalar,
    Sequence,
    Structure,
    Sum,
    shape_of,
)

ROOT = Path(__file__).resolve().parent.parent
DIRECTORY = ROOT / "docs" / "schemas"
DIALECT = "https://json-schema.org/draft/2020-12/schema"
Schema = dict[str, Any]

_SCALARS = {type(None): "null", bool: "boolean", float: "number", str: "string"}
_OPAQUE: dict[str, Schema] = {"Rpc.t": {"description": "any value"}}


def main() -> None:
    """Write all of them."""
    DIRECTORY.mkdir(exist_ok=True)
    for path, text in documents():
        path.write_text(text)


def documents() -> list[tuple[Path, str]]:
    """Each file and its text."""
    objects = Objects("#/$defs/")
    methods = all_messages(objects)
    wire = {
        "$schema": DIALECT,
        "title": "Requests, answers and objects",
        "$defs": {**objects.known, **methods},
    }
    known, root = pydantic_schemas(Envelope, "#/$defs/")
    log = {"$schema": DIALECT, "title": "What stands in a log", **root, "$defs": known}
    return [(DIRECTORY / "interface.json", text_of(wire)), (DIRECTORY / "records.json", text_of(log))]


def text_of(document: Schema) -> str:
    """As it is kept."""
    return json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def pydantic_schemas(type_: Any, prefix: str) -> tuple[dict[str, Schema], Schema]:
    """The schemas of a type that travels as pydantic writes it: by name those that it names, and its own."""
    template = prefix.replace("{", "{{").replace("}", "}}") + "{model}"
    found = TypeAdapter(type_).json_schema(mode="serialization", ref_template=template)
    return found.pop("$defs", {}), found


def records(prefix: str) -> dict[str, Schema]:
    """All records and what is in them, and the envelope, by name."""
    known, envelope = pydantic_schemas(Envelope, prefix)
    return {**known, "Envelope": envelope}


def notices(prefix: str) -> dict[str, Schema]:
    """What services tell each other directly, by name."""
    return pydantic_schemas(Notice, prefix)[0]


def all_messages(objects: "Objects") -> dict[str, Schema]:
    """Every method's request and answer, by name."""
    return {name: part for method in ALL_METHODS.values() for name, part in messages(method, objects).items()}


def messages(method: Method, objects: "Objects") -> dict[str, Schema]:
    """A method's request and answer."""
    error = "ObserverError" if method.name.startswith("Observer.") else "Error"
    request = _object(
        {"method": {"const": method.name}, "params": _tuple([_parameters(method, objects)])}
        | {"id": {"type": ["integer", "string"]}}
    )
    succeeded = _object(
        {"result": objects.schema(method.result), "error": {"type": "null"}, "id": {"const": 0}}
    )
    failed = _object({"result": {"type": "null"}, "error": objects.named(error), "id": {"const": 0}})
    return {f"{method.name}.request": request, f"{method.name}.answer": {"anyOf": [succeeded, failed]}}


def _parameters(method: Method, objects: "Objects") -> Schema:
    return _fields([(name, type_, False) for name, type_ in method.parameters], objects)


def _fields(fields: list[tuple[str, Any, bool]], objects: "Objects") -> Schema:
    """Named values; an option is bare, or not there at all."""
    properties, required = {}, []
    for name, type_, is_optional in fields:
        shape = shape_of(type_)
        properties[name] = objects.schema(shape.content if isinstance(shape, Optional) else type_)
        if not is_optional and not isinstance(shape, Optional):
            required.append(name)
    return {"type": "object", "properties": properties, "required": required}


def _object(properties: dict[str, Schema]) -> Schema:
    return {"type": "object", "properties": properties, "required": sorted(properties)}


def _tuple(items: list[Schema]) -> Schema:
    return {"type": "array", "prefixItems": items, "minItems": len(items), "maxItems": len(items)}


class Objects:
    """The schemas of wire types; structs are kept by their name, below a prefix for references."""

    def __init__(self, prefix: str) -> None:
        self.known: dict[str, Schema] = {}
        self._types: dict[str, type] = {}
        self._prefix = prefix

    def schema(self, annotation: Any) -> Schema:
        """What a value of a type is on the wire."""
        match shape_of(annotation):
            case Scalar(type=type_):
                return {"type": _SCALARS[type_]}
            case Integer(bits=bits):
                return {"type": "integer", "minimum": -(2 ** (bits - 1)), "maximum": 2 ** (bits - 1) - 1}
            case Opaque(name=name):
                return _OPAQUE.get(name, {"type": "string", "description": name})
            case Optional(content=content):
                return {"type": "array", "items": self.schema(content), "maxItems": 1}
            case Sequence(content=content):
                return {"type": "array", "items": self.schema(content)}
            case Association(content=content):
                return {"type": "object", "additionalProperties": self.schema(content)}
            case Product(contents=contents):
                return _tuple([self.schema(content) for content in contents])
            case Structure() as structure:
                return self._structure(structure)
            case Sum(choices=choices):
                return {"anyOf": [part for choice in choices for part in self._choice(choice)]}
            case Enumeration(type=type_):
                return {"enum": [str(arm) for arm in type_]}

    def named(self, name: str) -> Schema:
        """One of the errors, kept by its name, too."""
        if name not in self.known:
            self.known[name] = self.schema({"Error": Error, "ObserverError": ObserverError}[name])
        return {"$ref": f"{self._prefix}{name}"}

    def _structure(self, shape: Structure) -> Schema:
        name = shape.type.__name__
        if self._types.setdefault(name, shape.type) is not shape.type:
            raise ValueError(f"two structs are called {name}: rename one")
        if name not in self.known:
            self.known[name] = {}
            fields = [(field.name, field.type, field.has_default) for field in shape.fields]
            described = _fields(fields, self)
            self.known[name] = {**described, "description": re.sub(r"\s+", " ", shape.type.__doc__ or "")}
        return {"$ref": f"{self._prefix}{name}"}

    def _choice(self, choice: Choice) -> list[Schema]:
        """A tag alone, or with its content; content that is null is left out."""
        contents = [self.schema(type_) for _, type_ in choice.fields]
        alone: Schema = {"const": choice.tag}
        if not contents:
            return [alone]
        content = contents[0] if len(contents) == 1 else _tuple(contents)
        whole = _tuple([alone, content])
        return [alone, whole] if "type" not in content or content["type"] == "null" else [whole]


if __name__ == "__main__":
    main()
