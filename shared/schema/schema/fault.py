"""Fault: the one exception that carries an error of the interface to whoever must be told."""

from schema.objects.errors import Error, InternalError, Unimplemented


class XenopsError(Exception):
    """An error of the xenops interface on its way to a client; `error` is what goes on the wire."""

    def __init__(self, error: Error) -> None:
        super().__init__(str(error))
        self.error = error


def internal_error(sentence: str) -> XenopsError:
    """An `Internal_error`: what was attempted, on what, and what to do."""
    return XenopsError(InternalError(message=sentence))


def unimplemented(what: str) -> XenopsError:
    """An `Unimplemented`: what this backend cannot do."""
    return XenopsError(Unimplemented(what=what))
