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
