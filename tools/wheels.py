"""Wheels: our distributions and what they need, at the locked versions, for installs without an index."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PIP = ROOT / "var" / "uv" / "bin" / "pip"

LINKED = {"LDSHARED": "gcc -shared"}
"""How what compiles is linked: without the paths of the machine that builds it."""


class WheelsError(Exception):
    """The wheels cannot be built; the sentence says why and what to do."""


def build_wheels(directory: Path, packages: Iterable[str]) -> list[Path]:
    """Everything that the packages (folders of ours) need, they too, as wheels in a directory made anew."""
    if not PIP.exists():
        raise WheelsError("the Python environment is not there: run make setup first")
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    locked = re.findall(r"^[\w.-]+==[^ \\\n]+", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    constraints = directory.with_name(f"{directory.name}.constraints")
    constraints.write_text("\n".join(locked))  # without hashes: what is built here has none
    pip = [str(PIP), "wheel", "--quiet", "--wheel-dir", str(directory), "--constraint", str(constraints)]
    kept = ["--cache-dir", str(ROOT / "var" / "pip")]
    done = subprocess.run(
        [*pip, *kept, *(str(ROOT / package) for package in packages)], env=os.environ | LINKED, check=False
    )
    if done.returncode:
        raise WheelsError("pip could not make the wheels; its words are above")
    return sorted(directory.glob("*.whl"))
