"""Binding: a C library of Xen's as a Python module, compiled by cffi for the Xen that is here, and kept.

The compiler reads Xen's own headers, so that it, and not we, knows how the structures of this version lie. A
module is kept under the hash of all that went into it; a library of another version makes another one.
"""

import contextlib
import hashlib
import importlib.machinery
import importlib.util
import os
import subprocess
import sysconfig
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from cffi import FFI

HEADERS = Path("/usr/include")

COMPILE_TIMEOUT_S = 300.0
"""Seconds are usual; on a slow, busy machine it is minutes."""


class BindingError(Exception):
    """The library cannot be used; the sentence says why and what to do."""


@dataclass(frozen=True, slots=True)
class Binding:
    """What is wanted of a library.

    `name` is the module's, `declarations` are in cffi's language (API mode: `...` where only the compiler
    knows), `source` is C that includes the headers, `libraries` are linked, `headers` tell the version.
    """

    name: str
    declarations: str
    source: str
    libraries: tuple[str, ...]
    headers: tuple[str, ...]

    def key(self, headers: Path = HEADERS) -> str:
        """Changes when it must be compiled anew. Errors: `BindingError` when the headers are not there."""
        words = [self.name, self.declarations, self.source, *self.libraries, sysconfig.get_platform()]
        try:
            content = [(headers / header).read_bytes() for header in self.headers]
        except OSError as error:
            raise BindingError(
                f"the header {error.filename} of Xen's libraries is not there, and without it they cannot be "
                "used: install them, on Debian by `apt-get install libxen-dev gcc python3-dev`"
            ) from error
        return hashlib.sha256(b"\0".join([*(word.encode() for word in words), *content])).hexdigest()[:16]

    def path(self, directory: Path, headers: Path = HEADERS) -> Path:
        """Where a directory has it compiled. Errors: as of `key`."""
        return directory / f"{self.name}-{self.key(headers)}.abi3.so"


def load(binding: Binding, directory: Path) -> ModuleType:
    """The module, with `ffi` and `lib`; compiled first unless the directory has it.

    Raises:
        BindingError: there is no compiler, it refuses, or the library cannot be loaded.
    """
    path = binding.path(directory)
    if not path.exists():
        compile_to(binding, path)
    loader = importlib.machinery.ExtensionFileLoader(binding.name, str(path))
    specification = importlib.util.spec_from_file_location(binding.name, path, loader=loader)
    if specification is None:
        raise BindingError(f"{path} is no Python module: remove it, and it is compiled anew")
    try:
        module = importlib.util.module_from_spec(specification)
        loader.exec_module(module)
    except ImportError as error:
        raise BindingError(f"{path} cannot be loaded: {error}; remove it, and it is compiled anew") from error
    return module


def compile_to(binding: Binding, path: Path) -> None:
    """Compile the module, as a whole or not at all. Errors: `BindingError` with the compiler's words."""
    ffi = FFI()
    ffi.cdef(binding.declarations)
    ffi.set_source(binding.name, binding.source, libraries=list(binding.libraries))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="compiling-", dir=path.parent) as scratch:
            source, made = Path(scratch) / f"{binding.name}.c", Path(scratch) / path.name
            with contextlib.redirect_stdout(None):  # it tells what it generates
                ffi.emit_c_code(str(source))
            _run_compiler(binding, _command(source, made, binding.libraries))
            made.replace(path)
    except OSError as error:
        raise BindingError(
            f"the binding {binding.name} cannot be kept in {path.parent}: {error.strerror}; set "
            "XENOPS_XEN_BINDINGS to a directory that can be written"
        ) from error


def _command(source: Path, made: Path, libraries: Sequence[str]) -> list[str]:
    compiler = os.environ.get("CC", "gcc")
    include = sysconfig.get_path("include")
    options = [
        "-shared",
        "-fPIC",
        "-O1",
        "-Werror=implicit-function-declaration",
        f"-I{include}",
        str(source),
        "-o",
        str(made),
    ]
    return [compiler, *options, *(f"-l{library}" for library in libraries)]


def _run_compiler(binding: Binding, command: list[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=COMPILE_TIMEOUT_S)
    except FileNotFoundError as error:
        raise BindingError(
            f"the binding {binding.name} must be compiled, and there is no {command[0]}: install it, on "
            "Debian by `apt-get install gcc python3-dev`"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise BindingError(
            f"the binding {binding.name} was not compiled within {COMPILE_TIMEOUT_S:g} s: see what keeps "
            "the machine busy, and start again"
        ) from error
    if done.returncode:
        words = "\n".join(done.stderr.splitlines()[:20])
        raise BindingError(
            f"the binding {binding.name} does not compile against the Xen that is here; worker-xen knows "
            f"4.14 to 4.19; the compiler says:\n{words}"
        )
