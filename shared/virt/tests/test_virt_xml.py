"""Libvirt's documents, written and read."""

import pytest
from virt.xml import ImpossibleTextError, attribute, node, parsed, written


@pytest.mark.parametrize("value", ["a,b", "<&>'\"", "new\nline", "ü ☃ 𝄞", "]]>", "--"])
def test_what_is_written_is_read_again(value: str) -> None:
    text = written(node("a", node("b", text=value), name=value, count=3))
    document = parsed(text)
    assert (document.get("name"), document.get("count")) == (value, "3")
    assert document.findtext("b") == value


@pytest.mark.parametrize("value", ["\0", "bell \a", "\ufffe"])
def test_what_no_document_can_carry_is_refused(value: str) -> None:
    with pytest.raises(ImpossibleTextError, match="libvirt cannot be told"):
        node("a", name=value)


def test_an_attribute_that_is_not_there_is_none() -> None:
    document = node("a", node("b", name="c"))
    assert attribute(document, "b", "name") == "c"
    assert attribute(document, "b", "other") is None
    assert attribute(document, "d", "name") is None
