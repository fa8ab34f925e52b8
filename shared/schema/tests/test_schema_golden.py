import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from schema.golden import SHOWN, main, run

SAMPLES = Path(os.environ.get("XENOPS_GOLDEN", Path(__file__).parents[4] / "shared" / "golden"))


@pytest.mark.skipif(
    not SAMPLES.is_dir(), reason=f"the original's samples are not beside the project: {SAMPLES.name}"
)
def test_every_sample_of_the_original_is_read_and_written_as_there() -> None:
    passed, failures = run(SAMPLES)
    assert failures == []
    assert passed > 8000


def sample(directory: Path, *, wire: str, name: str = "Task.id", count: int = 1) -> None:
    (directory / "types").mkdir()
    content = {"type": name, "samples": [{"wire": wire}] * count, "unmarshal": []}
    (directory / "types" / "x.json").write_text(json.dumps(content))


def test_a_difference_is_shown_and_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sample(tmp_path, wire='["Rtc"]', count=SHOWN + 1)
    assert main([str(tmp_path)]) == 1
    printed = capsys.readouterr().out
    assert "expected [" in printed
    assert "... and 1 more" in printed
    assert printed.endswith(f"0 passed, {SHOWN + 1} failed\n")


def test_a_type_that_nobody_knows_is_a_failure_not_a_crash(tmp_path: Path) -> None:
    sample(tmp_path, wire="1", name="No.such")
    passed, failures = run(tmp_path)
    assert (passed, len(failures)) == (0, 1)


def test_the_checker_runs_as_a_program(tmp_path: Path) -> None:
    sample(tmp_path, wire='"x"')
    command = [sys.executable, "-m", "schema.golden", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "1 passed, 0 failed\n")


def test_an_empty_directory_passes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path)]) == 1
    assert capsys.readouterr().out == "0 passed, 0 failed\n"


def test_no_directory_is_a_usage_error() -> None:
    assert main([]) == 2


def test_a_request_that_should_have_been_refused_is_a_difference(tmp_path: Path) -> None:
    (tmp_path / "wire").mkdir()
    request = '{"method":"VM.exists","params":[{"debug_info":"d","id":"x"}],"id":1}'
    exchange = [{"request": request, "response": "Refused"}]
    (tmp_path / "wire" / "raw_x.json").write_text(json.dumps(exchange))
    (tmp_path / "wire" / "text.json").write_text("{}")
    passed, failures = run(tmp_path)
    assert (passed, len(failures)) == (0, 1)


@pytest.mark.parametrize("content", ["[]", "{", "7", '{"type": "Task.id"}', "null"])
def test_a_file_of_another_layout_is_a_failure_not_a_crash(tmp_path: Path, content: str) -> None:
    (tmp_path / "types").mkdir()
    (tmp_path / "types" / "x.json").write_text(content)
    passed, (failure,) = run(tmp_path)
    assert passed == 0
    assert "x.json is not laid out" in failure


@pytest.mark.parametrize(
    "wire", ["[" * 600, "nonsense", "\\ud800", '["Static4",[["a"],["b"]]]', '{"a":' * 3000, "9" * 9000]
)
def test_a_sample_that_no_type_has_is_a_failure_not_a_crash(
    tmp_path: Path, wire: str, capsys: pytest.CaptureFixture[str]
) -> None:
    sample(tmp_path, wire=wire)
    assert main([str(tmp_path)]) == 1
    assert capsys.readouterr().out.endswith("0 passed, 1 failed\n")


def exchange(directory: Path, *, name: str, request: str, response: str) -> tuple[int, list[str]]:
    (directory / "wire").mkdir()
    content = [{"request": request, "response": response}]
    (directory / "wire" / name).write_text(json.dumps(content))
    return run(directory)


def test_a_refused_request_must_be_refused_in_the_same_words(tmp_path: Path) -> None:
    words = 'Yojson.Json_error("Blank input data")'
    assert exchange(tmp_path, name="raw_blank.json", request="", response=words) == (1, [])


def test_a_refusal_where_the_original_understood_is_a_difference(tmp_path: Path) -> None:
    answer = '{"result":false,"error":null,"id":0}'
    passed, failures = exchange(tmp_path, name="VM.exists.json", request="[]", response=answer)
    assert passed == 0
    assert len(failures) == 2


def test_a_failed_call_is_written_again_as_it_was(tmp_path: Path) -> None:
    request = '{"method":"VM.exists","params":[{"id":"x","debug_info":"d"}],"id":1}'
    answer = '{"result":null,"error":["Cancelled","7"],"id":0}'
    assert exchange(tmp_path, name="VM.exists.json", request=request, response=answer) == (2, [])


def test_bytes_that_are_not_utf8_are_shown_as_numbers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "types").mkdir()
    content = b'{"type":"No.such","samples":[{"wire":"\xff"}],"unmarshal":[]}'
    (tmp_path / "types" / "x.json").write_bytes(content)
    assert main([str(tmp_path)]) == 1
    assert "\\udcff" in capsys.readouterr().out
