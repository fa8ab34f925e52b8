"""Tokens tell places and lives of a log apart."""

from bus.ports import Entry
from eventhub import tokens
from schema.ids import Offset
from schema.records import Elected


def first_entry(at: float) -> Entry:
    return Entry(Offset(0), at, Elected(redirector="r"))


def test_a_token_reads_back_as_its_place() -> None:
    life = tokens.life_of(first_entry(1_795_385_700.4))
    assert tokens.place_of(life, tokens.token_of(life, 43)) == 43


def test_a_token_of_another_life_stands_for_no_place() -> None:
    life, later = (tokens.life_of(first_entry(at)) for at in (1_795_385_700.0, 1_795_385_701.0))
    assert tokens.place_of(later, tokens.token_of(life, 43)) is None


def test_numbers_that_were_never_tokens_stand_for_no_place() -> None:
    assert [tokens.place_of(7, token) for token in (-1, 0, 1_000_000)] == [None, None, None]


def test_who_has_seen_nothing_has_the_originals_first_token() -> None:
    assert tokens.token_of(7, tokens.START) == 0


def test_every_token_fits_what_ocaml_calls_int() -> None:
    largest = tokens.token_of((1 << tokens.LIFE_BITS) - 1, (1 << tokens.PLACE_BITS) - 1)
    assert largest < 1 << 62
