"""Sysfs: where Linux shows its devices, and how it is written to."""

from collections.abc import Callable
from pathlib import Path

SYSFS = Path("/sys")

Write = Callable[[Path, str], object]
"""Tells the kernel something, by one of its files. Errors: `OSError`, the kernel's."""
