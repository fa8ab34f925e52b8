"""Describe: prints the API's OpenAPI document; `make openapi` keeps it in docs/operators."""

import json
import sys
import tempfile
from pathlib import Path

from dashboard.operators import Doorkeeper, Operator, OperatorRole, tokens_text
from dashboard.web.app import description


def document() -> str:
    """As JSON, with its keys in order."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "tokens"
        path.touch(mode=0o600)
        path.write_text(tokens_text([(Operator("nobody", OperatorRole.READER), "x" * 40)]))
        return json.dumps(description(Doorkeeper(path)), indent=1, sort_keys=True) + "\n"


if __name__ == "__main__":
    sys.stdout.write(document())
