"""Users: as whom programs run that look at what a guest has written, each domain's as another one."""

Users = tuple[int, int]
"""The first and the last number of the users for it."""


def user_of(users: Users, domid: int) -> int:
    """The number of a domain's."""
    first, last = users
    return first + domid % (last - first + 1)
