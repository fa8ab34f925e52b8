import re
import sys
import tomllib
from pathlib import Path
from typing import Any

import grimp
import pytest

ROOT = Path(__file__).resolve().parents[2]

EVERYWHERE = {"pydantic", "pydantic_core", "typing_extensions"}
"""Outside libraries that any module may import: the ways in which values and types are written here."""


@pytest.fixture(name="rules", scope="module")
def read_rules() -> dict[str, Any]:
    rules: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    return rules


@pytest.fixture(name="graph", scope="module")
def read_imports(rules: dict[str, Any]) -> grimp.ImportGraph:
    return grimp.build_graph(*rules["root_packages"], include_external_packages=True, cache_dir=None)


def test_every_outside_library_stops_where_a_contract_says(
    rules: dict[str, Any], graph: grimp.ImportGraph
) -> None:
    protected = {name for each in rules["contracts"] for name in each.get("protected_modules", ())}
    outside = {module for module in graph.modules if graph.is_module_squashed(module)}
    assert outside - {*sys.stdlib_module_names, *EVERYWHERE} == protected & outside


def test_the_table_of_packages_says_who_knows_whom(graph: grimp.ImportGraph) -> None:
    page = (ROOT / "ARCHITECTURE.md").read_text()
    rows = re.findall(r"^\| `([\w/-]+)` \| .* \| (.*) \|$", page, re.MULTILINE)
    told = {import_name(folder): set(re.findall(r"`(\w+)`", knows)) for folder, knows in rows}
    found: dict[str, set[str]] = {package: set() for package in graph_roots(graph)}
    for package in found:
        for module in (package, *graph.find_descendants(package)):
            found[package] |= {
                each.partition(".")[0] for each in graph.find_modules_directly_imported_by(module)
            }
        found[package] &= found.keys() - {package}
    assert told == found


def import_name(folder: str) -> str:
    """What a folder's package is imported as."""
    project = tomllib.loads((ROOT / folder / "pyproject.toml").read_text())
    name: str = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"][0]
    return name


def graph_roots(graph: grimp.ImportGraph) -> list[str]:
    return [module for module in graph.modules if "." not in module and not graph.is_module_squashed(module)]
