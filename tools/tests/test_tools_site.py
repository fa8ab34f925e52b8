import logging
from pathlib import Path

import pytest
import site_pages

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    ("see [the log](log.md#reading-it)", "kvm.md", "see [the log](log.md#reading-it)"),
    ("[why](adr/0005-x.md)", "kvm.md", "[why](adr/0005-x.md)"),
    ("[us](../operators.md)", "adr/0005-x.md", "[us](../operators.md)"),
    ("[limits](../README.md#limits)", "kvm.md", "[limits](limits.md)"),
    ("[all](../../README.md)", "tutorials/first-vm.md", "[all](../index.md)"),
    ("[how](../../ARCHITECTURE.md#the-bus)", "adr/0005-x.md", "[how](../architecture.md#the-bus)"),
    ("[KVM](docs/kvm.md#disks)", "limits.md", "[KVM](kvm.md#disks)"),
    ("[decisions](docs/adr)", "contributing.md", "[decisions](adr/README.md)"),
    ("![a picture](operators/queues.png)", "operators.md", "![a picture](operators/queues.png)"),
    ("[there](https://a.b/c.md) and [here](#x)", "kvm.md", "[there](https://a.b/c.md) and [here](#x)"),
]


@pytest.mark.parametrize(("written", "place", "shown"), PAGES)
def test_a_link_leads_on_the_site_to_what_it_leads_to_in_the_repository(
    written: str, place: str, shown: str
) -> None:
    assert site_pages.as_placed(written, place) == shown


def test_a_link_to_what_is_no_document_is_complained_of(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "mkdocs"):
        site_pages.as_placed("[code](../shared/bus/bus/ports.py)", "kvm.md")
    assert "shared/bus/bus/ports.py, which is no document" in caplog.text


def test_the_limits_are_the_readmes_section_of_that_name(caplog: pytest.LogCaptureFixture) -> None:
    assert site_pages.limits("# A\n\n## Limits\n\n- one\n\n## More\n") == "# Limits\n\n- one\n\n"
    assert site_pages.limits("# A\n") == "# Limits\n"
    assert "no section Limits" in caplog.text


def test_the_operators_api_is_drawn_without_what_every_call_may_answer() -> None:
    described = {
        "info": {"description": "All."},
        "paths": {"/a": {"get": {"summary": "A", "responses": {"200": {}, "404": {}, "503": {}}}}},
    }
    drawn = site_pages.without_refusals(described)
    assert drawn["paths"] == {"/a": {"get": {"summary": "A", "responses": {"200": {}}}}}
    assert drawn["info"]["description"] == f"All. {site_pages.REFUSALS}"


def test_the_index_names_each_decision_by_its_number_and_title(tmp_path: Path) -> None:
    (tmp_path / "0002-b.md").write_text("# 2. Later\n")
    (tmp_path / "0001-a.md").write_text("# 0001: First\n\ntext\n")
    (tmp_path / "README.md").write_text("# Decisions\n")
    rows = [row for row in site_pages.index_of(tmp_path).splitlines() if row.startswith("| 0")]
    assert rows == ["| 0001 | [First](0001-a.md) |", "| 0002 | [Later](0002-b.md) |"]


def test_the_code_of_the_first_program_is_the_examples() -> None:
    tutorial = (ROOT / "docs" / "tutorials" / "first-program.md").read_text()
    for path in sorted((ROOT / "examples" / "first").glob("*.py")):
        assert f"```python\n{path.read_text()}```" in tutorial
