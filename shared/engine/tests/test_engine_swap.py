"""A file takes another's place, by whatever the system has for it."""

from pathlib import Path

import pytest
from engine import swap


class Library:
    """A C library that knows no exchange."""


@pytest.mark.parametrize("library", [swap._LIBC, Library()], ids=["exchanged", "renamed"])
def test_a_file_takes_the_place_of_another_or_of_none(
    library: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(swap, "_LIBC", library)
    draft, path = tmp_path / ".draft", tmp_path / "file"
    for content in ("first", "second"):
        draft.write_text(content)
        swap.take_place(str(draft), str(path))
        assert path.read_text() == content
        assert list(tmp_path.iterdir()) == [path]


def test_what_cannot_take_the_place_says_so_and_stays(tmp_path: Path) -> None:
    draft = tmp_path / ".draft"
    draft.touch()
    with pytest.raises(FileNotFoundError):
        swap.take_place(str(draft), str(tmp_path / "nowhere" / "file"))
    assert draft.exists()
