"""A stack's directory, short enough for sockets, in which nothing is left running."""

import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from stack.layout import Layout
from stack.processes import KILL_TIMEOUT_S, end
from stack.remains import processes


@pytest.fixture
def layout() -> Iterator[Layout]:
    layout = Layout(Path(tempfile.mkdtemp(prefix="xs-")))
    for directory in (layout.pids, layout.log("").parent, layout.temporary):
        directory.mkdir()
    yield layout
    end(processes(layout), signal.SIGKILL, KILL_TIMEOUT_S)
    shutil.rmtree(layout.root, ignore_errors=True)
