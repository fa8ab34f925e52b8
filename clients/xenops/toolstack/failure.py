"""Failure: an error as XenAPI's clients know them, a code and its parameters."""


class XenApiFailure(Exception):  # noqa: N818  XenAPI's clients know it by this name
    """An operation failed as XenAPI tells it: `code` and `params`, as `VM_BAD_POWER_STATE`."""

    def __init__(self, code: str, *params: str) -> None:
        super().__init__(f"{code}: {'; '.join(params)}" if params else code)
        self.code = code
        self.params = params


def invalid_value(field: str, value: str) -> XenApiFailure:
    """A field of a record has a value that makes no sense."""
    return XenApiFailure("INVALID_VALUE", field, value)
