"""Conformance: what every backend must do, as tests to subclass.

    class TestQemu(BackendConformance):
        @pytest.fixture
        def subject(self, tmp_path: Path) -> Iterator[Subject]:
            ...

A backend that cannot do a verb names it in `Subject.unsupported`: then the verb must raise `Unimplemented`,
and what needs it is skipped.
"""

import pytest

pytest.register_assert_rewrite(
    *(f"engine.conformance.{suite}" for suite in ("vms", "suspend", "devices", "host", "recovery", "stores"))
)

from engine.conformance.suite import (  # noqa: E402  after pytest knows whose assertions to explain
    BackendConformance,
    Subject,
    SuiteExecution,
)

__all__ = ["BackendConformance", "Subject", "SuiteExecution"]
