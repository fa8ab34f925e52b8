"""Traceparent: what W3C's header of that name says."""


def trace_of(traceparent: str | None) -> str:
    """The trace id in a W3C traceparent; "" if there is none."""
    words = (traceparent or "").split("-")
    return words[1] if len(words) == 4 else ""
