from engine.holding import with_or_without


def test_a_name_is_there_once_or_not_at_all() -> None:
    assert with_or_without((), "a", there=True) == ("a",)
    assert with_or_without(("a",), "a", there=True) == ("a",)
    assert with_or_without(("a", "b"), "a", there=False) == ("b",)
