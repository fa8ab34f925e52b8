"""All methods, on every backend of a real, if emulated, Xen host: as docs/conformance-xen.md says."""

from pathlib import Path

import pytest
from conformance_table import documented
from xen_dom0 import FOR_LONG, Dom0
from xen_tour import BACKENDS, PAGE, toured


@FOR_LONG
@pytest.mark.parametrize("backend", BACKENDS)
def test_what_comes_of_each_method_is_what_the_page_says(
    backend: str, dom0_of_our_time: Dom0, tmp_path: Path
) -> None:
    assert toured(dom0_of_our_time, backend, tmp_path) == documented(BACKENDS[backend], PAGE)
