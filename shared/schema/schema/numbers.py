"""Numbers: what a text of digits says that anybody may have written, however long it is."""


def decimal(text: str, most: int) -> int | None:
    """The number, from 0 to `most`, that ASCII digits write; None for any other text.

    Python itself takes digits of any script, and raises at more than 4,300 of them.
    """
    if not text.isascii() or not text.isdecimal() or len(text) > len(str(most)):
        return None
    number = int(text)
    return number if number <= most else None
