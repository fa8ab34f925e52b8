"""What libvirt refuses, and what it cannot be told, in the interface's words."""

import pytest
from schema.fault import XenopsError
from schema.objects.errors import InternalError
from virt.spoken import configured, spoken
from virt.values import VirtError
from virt.xml import node


def test_what_libvirt_refuses_is_told_in_its_words() -> None:
    with pytest.raises(XenopsError) as caught, spoken():
        raise VirtError("it said no")
    assert caught.value.error == InternalError(message="it said no")


def test_what_libvirt_cannot_be_told_is_named_with_what_to_do() -> None:
    with pytest.raises(XenopsError) as caught, configured("start VM a"):
        node("name", text="bell \a")
    error = caught.value.error
    assert isinstance(error, InternalError)
    assert error.message.startswith("Cannot start VM a: 'bell \\x07' has the character")
    assert error.message.endswith("which libvirt cannot be told: correct its configuration")
