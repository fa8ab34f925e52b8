from engine.noted import noted


def test_names_are_noted_once() -> None:
    assert noted((), "a", there=True) == ("a",)
    assert noted(("a",), "a", there=True) == ("a",)
    assert noted(("a", "b"), "a", there=False) == ("b",)
