import re
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from xenops.command.arguments import parser

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
PATH = re.compile(
    r"^((?:shared|services|clients|testing|examples|stack|tools|docs|bench|tests|guest)/[\w./-]*\w/?)$",
    re.MULTILINE,
)
MAKE = re.compile(r"^\s*make ([a-z][\w-]*)", re.MULTILINE)
MODULE = re.compile(r"python3? -m ([a-z_.]+)")
SCRIPT = re.compile(r"(?:python3?|\$\(PYTHON\)) ((?:tools|bench)/\w+\.py)")
COMMAND = re.compile(r"(?:^|bin/)xenops ([a-z]+(?:-[a-z]+)*)", re.MULTILINE)
VARIABLE_IN_WORDS = re.compile(r"\bXENOPS_[A-Z_]+\b")
LINK = re.compile(r"\]\((?!https?://|#)([^)#\s]+)")


@cache
def code(document: Path) -> str:
    """All that a document has as code, in words and in blocks, a piece a line or more."""
    tokens = MarkdownIt("gfm-like", {"linkify": False}).parse(document.read_text())
    pieces = [*tokens, *(child for token in tokens for child in token.children or ())]
    return "\n".join(
        piece.content for piece in pieces if piece.type in {"code_inline", "code_block", "fence"}
    )


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_path_that_a_document_names_exists(document: Path) -> None:
    named = PATH.findall(code(document))
    assert [path for path in named if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_of_a_document_leads_somewhere(document: Path) -> None:
    targets = LINK.findall(document.read_text())
    assert [target for target in targets if not (document.parent / target).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_make_task_that_a_document_names_is_in_the_makefile(document: Path) -> None:
    tasks = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert [task for task in MAKE.findall(code(document)) if task not in tasks] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_program_that_a_document_names_is_there(document: Path) -> None:
    assert [module for module in MODULE.findall(code(document)) if find_spec(module) is None] == []
    assert [script for script in SCRIPT.findall(code(document)) if not (ROOT / script).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_command_of_xenops_that_a_document_names_is_one(document: Path) -> None:
    [known] = (action.choices for action in parser()._actions if isinstance(action.choices, dict))
    assert set(COMMAND.findall(code(document))) - set(known) == set()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_variable_that_a_document_names_is_read_somewhere(document: Path) -> None:
    named = set(VARIABLE_IN_WORDS.findall(document.read_text()))
    assert named - VARIABLES == set()


def variables_of_the_code() -> set[str]:
    folders = ("shared", "services", "clients", "testing", "stack", "tools", "tests/xen")
    modules = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    return {
        name
        for path in (*modules, ROOT / "docker-compose.yml")
        for name in VARIABLE_IN_WORDS.findall(path.read_text())
    }


VARIABLES = variables_of_the_code()


@pytest.mark.parametrize("name", ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_the_document_is_there(name: str) -> None:
    assert (ROOT / name).read_text().strip()


def test_every_benchmark_is_in_the_table_of_benchmarks() -> None:
    page = (ROOT / "bench" / "README.md").read_text()
    programs = [path.name for path in sorted((ROOT / "bench").glob("bench_*.py"))]
    assert [name for name in programs if f"| `bench/{name}` |" not in page] == []


def test_every_variable_that_a_service_reads_is_in_the_page_of_settings() -> None:
    page = (ROOT / "docs" / "reference" / "settings.md").read_text()
    modules = [*ROOT.glob("services/*/*/settings.py"), ROOT / "shared/engine/engine/worker/settings.py"]
    modules += [ROOT / "shared/bus/bus" / name for name in ("process.py", "retention.py", "logs.py")]
    modules += [ROOT / "services/frontend/frontend/http/tls.py"]
    read = {name for module in modules for name in VARIABLE_IN_WORDS.findall(module.read_text())}
    assert sorted(read - {"XENOPS_LOST"} - set(VARIABLE_IN_WORDS.findall(page))) == []


def test_every_decision_has_a_number_of_its_own() -> None:
    decisions = sorted((ROOT / "docs/adr").glob("[0-9]*.md"))
    numbers = [decision.name.partition("-")[0] for decision in decisions]
    assert len(numbers) == len(set(numbers))
    for number, decision in zip(numbers, decisions, strict=True):
        assert decision.read_text().startswith(f"# {number}: ")


TEST_OR_MUTATION = re.compile(r"^(test_\w+)$|^([a-z]+(?:_[a-z]+)+)$", re.MULTILINE)


def test_every_test_and_mutation_that_an_invariant_names_is_there() -> None:
    named = {
        test or mutation for test, mutation in TEST_OR_MUTATION.findall(code(ROOT / "docs/invariants.md"))
    }
    tests = [
        path
        for folder in ("shared", "services", "simulation", "tests")
        for path in (ROOT / folder).rglob("*.py")
    ]
    there = {name for path in tests for name in re.findall(r"^ *def (\w+)\(", path.read_text(), re.MULTILINE)}
    assert len(named) > 40
    assert named - there == set()


@pytest.mark.parametrize(
    "package", ["schema", "bus", "engine", "redirector", "eventhub", "frontend"], ids=lambda name: name
)
def test_every_module_that_a_packages_first_page_names_is_there(package: str) -> None:
    page = import_module(package)
    folder = Path(str(page.__file__)).parent
    named = re.findall(r"`(\w+)`", page.__doc__ or "")
    assert named
    assert [
        name for name in named if not (folder / name).is_dir() and not (folder / f"{name}.py").exists()
    ] == []
