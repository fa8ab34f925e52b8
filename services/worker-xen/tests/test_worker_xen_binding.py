"""Bindings to C libraries, tried on one that every machine has."""

import dataclasses
from pathlib import Path

import pytest
from worker_xen import prepare
from worker_xen.binding import Binding, BindingError, compile_to, load

SAMPLE = Binding(
    name="_sample",
    declarations="typedef struct { int quot; ...; } div_t; div_t div(int, int);",
    source="#include <stdlib.h>",
    libraries=("m",),
    headers=("stdlib.h",),
)


def test_a_binding_is_compiled_once_and_kept(tmp_path: Path) -> None:
    first = load(SAMPLE, tmp_path)
    assert first.lib.div(7, 2).quot == 3
    [kept] = tmp_path.iterdir()
    made = kept.stat().st_mtime_ns
    assert load(SAMPLE, tmp_path).lib.div(9, 2).quot == 4
    assert kept.stat().st_mtime_ns == made


def test_another_version_of_the_library_is_compiled_anew(tmp_path: Path) -> None:
    keys = set()
    for version in ("1", "2"):
        (tmp_path / "stdlib.h").write_text(version)
        keys.add(SAMPLE.key(tmp_path))
    assert len(keys) == 2


def test_a_header_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(BindingError, match=r"stdlib.h of Xen's libraries is not there.*libxen-dev"):
        SAMPLE.key(tmp_path)


def test_what_does_not_compile_says_so_and_leaves_nothing(tmp_path: Path) -> None:
    binding = dataclasses.replace(SAMPLE, declarations="int nonesuch(int);")
    with pytest.raises(BindingError, match="does not compile against the Xen that is here"):
        compile_to(binding, tmp_path / "kept" / "x.abi3.so")
    assert list((tmp_path / "kept").iterdir()) == []


def test_without_a_compiler_it_is_said_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CC", "no-such-compiler")
    binding = dataclasses.replace(SAMPLE, declarations="int abs(int);")
    with pytest.raises(BindingError, match="there is no no-such-compiler: install it"):
        compile_to(binding, tmp_path / "x.abi3.so")


def test_a_module_that_is_damaged_is_named(tmp_path: Path) -> None:
    binding = dataclasses.replace(SAMPLE, declarations="int abs(int);")
    (tmp_path / f"_sample-{binding.key()}.abi3.so").write_text("no library")
    with pytest.raises(BindingError, match="cannot be loaded"):
        load(binding, tmp_path)


def test_where_nothing_can_be_kept_it_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    binding = dataclasses.replace(SAMPLE, declarations="int abs(int);")
    with pytest.raises(BindingError, match="XENOPS_XEN_BINDINGS"):
        compile_to(binding, tmp_path / "file" / "x.abi3.so")


def test_preparing_compiles_all_or_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(prepare, "ALL", (SAMPLE,))
    assert prepare.main([str(tmp_path)]) == 0
    assert len(list(tmp_path.iterdir())) == 1
    monkeypatch.setattr(prepare, "ALL", (dataclasses.replace(SAMPLE, headers=("none.h",)),))
    assert prepare.main([str(tmp_path)]) == 1
    assert "none.h of Xen's libraries is not there" in capsys.readouterr().err
