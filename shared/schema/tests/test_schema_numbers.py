import pytest
from schema.ids import read_task_id
from schema.numbers import decimal


@pytest.mark.parametrize(("text", "number"), [("0", 0), ("7", 7), ("255", 255), ("007", 7)])
def test_digits_are_a_number(text: str, number: int) -> None:
    assert decimal(text, 255) == number


@pytest.mark.parametrize("text", ["", "-1", "+1", "1.0", "x", " 1", "256", "0255", "\u0663", "9" * 5_000])
def test_what_is_no_such_number_is_none(text: str) -> None:
    assert decimal(text, 255) is None


@pytest.mark.parametrize("text", ["", "007", "x", "-1", "\u0663", "9" * 5_000, str(1 << 63)])
def test_a_task_has_one_id_and_no_other_text_names_it(text: str) -> None:
    assert read_task_id(text) is None


def test_a_task_is_named_by_its_offset() -> None:
    assert (read_task_id("0"), read_task_id("4711")) == (0, 4711)
