"""What no tap can hold back is refused."""

from engine.conformance.subject import refusal
from engine.hosted.port_rules import RATE_TO_GUEST, port_rules
from schema.ids import DeviceId
from schema.objects.errors import Unimplemented
from schema.objects.vif import Vif
from worker_kvm.tapless import refuse_unheld

VIF = Vif(id=DeviceId("v1", "0"), mac="52:54:00:00:00:0A")
LIMITED = VIF.model_copy(update={"other_config": ((RATE_TO_GUEST, "7"),)})


def test_what_no_tap_can_hold_back_is_refused() -> None:
    held = port_rules("nic0", LIMITED)
    assert refusal(lambda: refuse_unheld(held, "VIF.plug", has_tap=False)) == Unimplemented(
        what="VIF.plug in QEMU's own network"
    )
    refuse_unheld(held, "VIF.plug", has_tap=True)
    refuse_unheld(port_rules("nic0", VIF), "VIF.plug", has_tap=False)
