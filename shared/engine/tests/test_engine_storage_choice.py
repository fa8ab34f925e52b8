"""Which storage an operator may choose."""

from pathlib import Path

import pytest
from bus.memory import MemoryBroker, MemoryBus
from bus.process import SettingsError
from engine.hosted.storage.choice import NO_STORAGE, storage_choice
from engine.hosted.storage.directory import DirectoryStorage
from engine.hosted.storage.service import StorageService


def test_there_is_one_or_the_other_or_none() -> None:
    bus = MemoryBus(MemoryBroker())
    assert storage_choice({}) == storage_choice({"XENOPS_STORAGE_QUEUE": ""}) == NO_STORAGE
    assert NO_STORAGE.open(bus, takes_nbd=True) is None
    chosen = storage_choice({"XENOPS_SR_DIRECTORY": "srs"})
    assert chosen.directory == Path("srs").absolute()
    assert isinstance(chosen.open(bus, takes_nbd=False), DirectoryStorage)
    asked = storage_choice({"XENOPS_STORAGE_QUEUE": "org.x.storage"})
    assert (asked.directory, asked.queue) == (None, "org.x.storage")
    assert isinstance(asked.open(bus, takes_nbd=False), StorageService)
    bus.close()


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"XENOPS_STORAGE_QUEUE": "a queue"}, "XENOPS_STORAGE_QUEUE is 'a queue': give a queue's name"),
        ({"XENOPS_STORAGE_QUEUE": "q", "XENOPS_SR_DIRECTORY": "/d"}, "are both set"),
    ],
)
def test_what_makes_no_sense_is_named(said: dict[str, str], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        storage_choice(said)
