"""The isolation gate: each distribution installs alone, with only what it declares, and imports.

What a package forgot to declare is there by luck in the shared environment, and missing for a user.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

from setup import OWN_PACKAGES

UV = shutil.which("uv") or "var/uv/bin/uv"
"""The user's own, or the one that `make setup` installs."""


def main() -> int:
    """Install and import each package on its own; answers 1 at the first that fails."""
    for package in OWN_PACKAGES:
        with tempfile.TemporaryDirectory() as directory:
            failure = isolated_import(Path(package), Path(directory))
        print(f"isolate: {package}: {failure or 'ok'}")
        if failure:
            return 1
    return 0


def isolated_import(package: Path, directory: Path) -> str | None:
    """Install `package` into a fresh environment under `directory`; answers what went wrong."""
    project = tomllib.loads((package / "pyproject.toml").read_text())
    import_name = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"][0]
    environment = directory / "environment"
    own = sorted(own_packages_needed(package))
    install = [
        UV,
        "pip",
        "install",
        "--quiet",
        "--python",
        str(environment),
        "--constraint",
        "requirements.lock",
    ]
    steps = (
        [UV, "venv", "--quiet", "--python", sys.executable, str(environment)],
        install + [str(Path(name).resolve()) for name in own],
        [str(environment / "bin" / "python"), "-c", f"import {import_name}"],
    )
    for step in steps:
        done = subprocess.run(
            step, capture_output=True, text=True, check=False, env=os.environ | {"UV_NO_CONFIG": "1"}
        )
        if done.returncode:
            return done.stderr.strip() or f"exit code {done.returncode}"
    return None


def own_packages_needed(package: Path) -> set[str]:
    """The package itself and those of ours that it declares, whatever depth."""
    by_name = {
        tomllib.loads((Path(p) / "pyproject.toml").read_text())["project"]["name"]: p for p in OWN_PACKAGES
    }
    needed: set[str] = set()
    waiting = [str(package)]
    while waiting:
        current = waiting.pop()
        needed.add(current)
        declared = tomllib.loads((Path(current) / "pyproject.toml").read_text())["project"]["dependencies"]
        waiting += [by_name[name] for name in declared if name in by_name and by_name[name] not in needed]
    return needed


if __name__ == "__main__":
    sys.exit(main())
