"""Site: what MkDocs is told besides `mkdocs.yml`: pages made of the root's documents, and links between them.

Documents are written for whoever reads them in the repository: links lead from file to file. On the site the
root's documents are pages beside the others, the README's limits one of their own, and the decisions have an
index.
"""

import json
import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.plugins import get_plugin_logger
from mkdocs.structure.files import File

_LOG = get_plugin_logger("site")

ROOT_DOCUMENTS = {
    "ARCHITECTURE.md": "architecture.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
}
"""Documents of the repository's root, and what their pages are called."""

LIMITS = "limits.md"
"""The page of the README's section of that name."""

DECISIONS = "adr/README.md"
"""The page that gets the index of decisions, below what stands in it."""

DRAWN = Path("var") / "openapi-drawn.json"
"""What the page of the operators' API is drawn from."""

REFUSALS = "Calls refuse in the same ways: see [For operators](../operators.md#the-api)."
"""What stands there instead of each call's refusals."""

_LINK = re.compile(r"(?<=\]\()(?![a-z]+:|#)([^)#\s]+)(#[^)\s]*)?(?=\))")
_HEADING = re.compile(r"^# (.+)$", re.MULTILINE)


def on_pre_build(config: Any) -> None:
    """MkDocs begins: draw the operators' API from a copy in which no call repeats what all may answer."""
    root = Path(config.config_file_path).parent
    described = json.loads((root / "docs" / "operators" / "openapi.json").read_text())
    drawn = root / DRAWN
    drawn.parent.mkdir(exist_ok=True)
    drawn.write_text(json.dumps(without_refusals(described)))


def on_files(files: Any, config: Any) -> Any:
    """MkDocs has found its files: add those that are made."""
    root = Path(config.config_file_path).parent
    made = {page: (root / name).read_text() for name, page in ROOT_DOCUMENTS.items()}
    made[LIMITS] = limits((root / "README.md").read_text())
    for page, text in made.items():
        files.append(File.generated(config, page, content=text))
    return files


def on_page_markdown(markdown: str, *, page: Any, config: Any, **_: Any) -> str:
    """MkDocs has read a page: let its links lead to where things are on the site."""
    place = page.file.src_uri
    if place == DECISIONS:
        markdown += index_of(Path(config.docs_dir) / "adr")
    return as_placed(markdown, place)


def without_refusals(described: dict[str, Any]) -> dict[str, Any]:
    """An OpenAPI document whose calls have answers of success only, and says where the others are told."""
    paths = {
        path: {
            verb: {
                **call,
                "responses": {code: said for code, said in call["responses"].items() if code < "400"},
            }
            for verb, call in calls.items()
        }
        for path, calls in described["paths"].items()
    }
    about = f"{described['info']['description']} {REFUSALS}"
    return {**described, "info": {**described["info"], "description": about}, "paths": paths}


def limits(readme: str) -> str:
    """The README's section of limits as a page."""
    section = re.search(r"^## Limits\n(.*?)(?=^## |\Z)", readme, re.MULTILINE | re.DOTALL)
    if section is None:
        _LOG.warning("README.md has no section Limits")
        return "# Limits\n"
    return f"# Limits\n{section[1]}"


def index_of(folder: Path) -> str:
    """All decisions, by number."""
    rows = []
    for path in sorted(folder.glob("0*.md")):
        heading = _HEADING.search(path.read_text())
        title = re.sub(r"^\d+[.:] ", "", heading[1]) if heading else path.stem
        rows.append(f"| {path.stem[:4]} | [{title}]({path.name}) |\n")
    return "\n| | |\n|---|---|\n" + "".join(rows)


def as_placed(markdown: str, place: str) -> str:
    """The text of a page at `place`, its links by where pages are on the site."""
    return _LINK.sub(lambda link: _moved(link[1], link[2] or "", place), markdown)


def _moved(target: str, anchor: str, place: str) -> str:
    """Where a link leads on the site."""
    written_in = posixpath.dirname(_in_repository(place))
    meant = posixpath.normpath(posixpath.join(written_in, target))
    if meant == "README.md":
        found, anchor = (LIMITS, "") if anchor == "#limits" else ("index.md", "")
    elif meant in ROOT_DOCUMENTS:
        found = ROOT_DOCUMENTS[meant]
    elif meant == "docs/adr":
        found = DECISIONS
    elif meant.startswith("docs/"):
        found = meant.removeprefix("docs/")
    else:
        _LOG.warning("%s links to %s, which is no document: name its path instead", place, meant)
        return f"{target}{anchor}"
    return posixpath.relpath(found, posixpath.dirname(place) or ".") + anchor


def _in_repository(place: str) -> str:
    """The file that a page is made of."""
    if place == LIMITS:
        return "README.md"
    by_page = {page: name for name, page in ROOT_DOCUMENTS.items()}
    return by_page.get(place, f"docs/{place}")
