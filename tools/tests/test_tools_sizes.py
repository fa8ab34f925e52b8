import importlib.util
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(name="sizes")
def load_sizes() -> ModuleType:
    path = Path(__file__).resolve().parents[1] / "sizes.py"
    spec = importlib.util.spec_from_file_location("sizes", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_short_file_with_a_sentence_is_accepted(sizes: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "short.py"
    path.write_text('"""A sentence."""\n\n\ndef one(a, b, c, d):\n    return a\n')
    assert list(sizes.complaints(path)) == []


def test_a_long_file_a_long_function_and_many_parameters_are_each_named(
    sizes: ModuleType, tmp_path: Path
) -> None:
    path = tmp_path / "long.py"
    path.write_text('"""A sentence."""\n\ndef many(a, b, c, d, e):\n' + "    a = 1\n" * 420)
    found = list(sizes.complaints(path))
    assert len(found) == 3
    assert [complaint.split(":")[1] for complaint in found] == ["1", "3", "3"]


def test_a_file_without_a_sentence_is_named(sizes: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "mute.py"
    path.write_text("x = 1\n")
    assert len(list(sizes.complaints(path))) == 1
