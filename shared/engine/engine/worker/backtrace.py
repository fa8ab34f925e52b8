"""Backtraces, as the s-expressions that the original's clients read."""

import traceback


def backtrace_of(error: BaseException) -> str:
    """Where an error was raised and by whom it was called, innermost first; `()` if nowhere."""
    frames = reversed(traceback.extract_tb(error.__traceback__))
    return "(" + "".join(_frame(frame) for frame in frames) + ")"


def _frame(frame: traceback.FrameSummary) -> str:
    file = "/".join(frame.filename.rsplit("/", 2)[-2:])
    return f"((process worker)(filename {_atom(file)})(line {frame.lineno or 0})(name {_atom(frame.name)}))"


def _atom(text: str) -> str:
    if text and not any(mark in text for mark in ' ()"\\;'):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
