"""Errors of the wire: what a text or a value is refused with, in the original's words."""


class MarshalError(Exception):
    """A wire value is not of the type wanted; the text is rpclib's."""


class AbstractError(MarshalError):
    """The reader of an abstract type gave up: an option around it reads as none, as the original's does."""


class JsonError(Exception):
    """A text is not JSON; the text of this error is Yojson's."""


class UnsupportedJsonError(JsonError):
    """A text is Yojson's, but holds one of its tuples or variants, which rpclib has no value for."""

    def __init__(self, json: str) -> None:
        super().__init__("Jsonrpc.JsonToRpcError(_)")
        self.json = json
