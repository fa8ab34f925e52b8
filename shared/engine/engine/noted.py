"""Noted: names that a backend remembers in order, such as the devices that a VM shall have."""


def noted(names: tuple[str, ...], name: str, *, there: bool) -> tuple[str, ...]:
    """Names with or without one."""
    if (name in names) == there:
        return names
    return (*names, name) if there else tuple(other for other in names if other != name)
