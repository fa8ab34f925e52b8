"""What the environment may say to the worker on Xen."""

from pathlib import Path

import pytest
from bus.process import SettingsError
from worker_xen.settings import BINDINGS, from_environment

USUAL = {"XENOPS_BROKER": "amqp://b/", "XENOPS_INSTANCE": "i", "XENOPS_STATE_DIR": "/state"}


def test_what_is_not_said_is_as_usual() -> None:
    settings = from_environment(USUAL)
    assert (settings.backend, settings.run, settings.bindings) == ("classic", Path("/state/run"), BINDINGS)
    assert (settings.broker, settings.instances) == ("amqp://b/", ("i",))


def test_all_may_be_said() -> None:
    said = {"XENOPS_BACKEND": "xenlight", "XENOPS_RUN_DIR": "/run/x", "XENOPS_XEN_BINDINGS": "/b"}
    settings = from_environment(USUAL | said)
    assert (settings.backend, settings.run, settings.bindings) == ("xenlight", Path("/run/x"), Path("/b"))


def test_a_backend_that_there_is_not_is_named() -> None:
    words = "XENOPS_BACKEND is 'xl': choose one of classic, xenlight, libvirt"
    with pytest.raises(SettingsError, match=words):
        from_environment(USUAL | {"XENOPS_BACKEND": "xl"})
