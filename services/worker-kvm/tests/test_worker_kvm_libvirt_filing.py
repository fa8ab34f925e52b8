"""A saved domain's file in a place that lasts: all of it or no image."""

import os
from pathlib import Path

import pytest
from engine.conformance.execution import SuiteExecution
from engine.conformance.subject import refusal
from schema.fault import XenopsError
from schema.objects.errors import Cancelled, InternalError
from typing_extensions import override
from worker_kvm.libvirt.filing import PIECE_BYTES, fetch, file_away

CONTENT = os.urandom(2 * PIECE_BYTES + 7)


class Told(SuiteExecution):
    """One that keeps how far it has come, and is cancelled after the first piece if so wanted."""

    def __init__(self, *, gives_up: bool = False) -> None:
        super().__init__()
        self.come: list[float] = []
        self._gives_up = gives_up

    @override
    def progress(self, fraction: float) -> None:
        self.come.append(fraction)
        if self._gives_up:
            self.cancel()


def saved(directory: Path) -> Path:
    path = directory / "saved"
    path.write_bytes(CONTENT)
    return path


def sentence(error: object) -> str:
    assert isinstance(error, InternalError)
    return error.message


def test_what_was_filed_away_is_fetched_and_the_place_keeps_its_size(tmp_path: Path) -> None:
    place, path, told = tmp_path / "place", tmp_path / "path", Told()
    place.write_bytes(b"old" * PIECE_BYTES)
    file_away(saved(tmp_path), place, told)
    assert place.stat().st_size == 3 * PIECE_BYTES
    assert told.come == sorted(told.come)
    assert told.come[-1] == 1.0
    fetch(place, path, told, bytes_max=len(CONTENT))
    assert path.read_bytes() == CONTENT


def test_a_place_that_is_written_to_has_no_image_until_it_has_all(tmp_path: Path) -> None:
    place, path = tmp_path / "place", tmp_path / "path"
    place.write_bytes(b"")
    file_away(saved(tmp_path), place, Told())
    task = Told(gives_up=True)
    with pytest.raises(XenopsError) as broken_off:
        file_away(saved(tmp_path), place, task)
    assert isinstance(broken_off.value.error, Cancelled)
    told = sentence(refusal(lambda: fetch(place, path, Told(), bytes_max=len(CONTENT))))
    assert told == f"There is no suspend image on {place}, or another backend has written it"
    assert not path.exists()


def test_more_than_there_may_be_is_not_fetched_and_what_was_cut_off_is_less(tmp_path: Path) -> None:
    place, path = tmp_path / "place", tmp_path / "path"
    place.write_bytes(b"")
    file_away(saved(tmp_path), place, Told())
    too_large = refusal(lambda: fetch(place, path, Told(), bytes_max=len(CONTENT) - 1))
    assert "There is no suspend image" in sentence(too_large)
    os.truncate(place, PIECE_BYTES)
    fetch(place, path, Told(), bytes_max=len(CONTENT))  # its seal tells that it is not whole
    assert path.read_bytes() == CONTENT[: path.stat().st_size]
    assert path.stat().st_size < PIECE_BYTES


def test_a_place_that_cannot_be_written_or_read_is_named(tmp_path: Path) -> None:
    full, nowhere = Path("/dev/full"), tmp_path / "nowhere"
    told = sentence(refusal(lambda: file_away(saved(tmp_path), full, Told())))
    assert told.startswith("The suspend image /dev/full cannot be written: No space left on device; see to")
    told = sentence(refusal(lambda: fetch(nowhere, tmp_path / "path", Told(), bytes_max=1)))
    assert told.startswith(f"The suspend image {nowhere} cannot be read: No such file or directory; see to")
