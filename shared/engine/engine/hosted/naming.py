"""Naming: what the n-th disk is called."""


def letters(number: int) -> str:
    """As Linux names disks: 0 is a, 25 is z, 26 is aa."""
    word = ""
    while number >= 0:
        word = chr(ord("a") + number % 26) + word
        number = number // 26 - 1
    return word
