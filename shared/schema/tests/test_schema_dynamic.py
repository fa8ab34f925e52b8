import pytest
from schema.ids import DeviceId
from schema.objects.dynamic import ObjectId, TaskObject, VbdObject, VmObject, vm_of


@pytest.mark.parametrize(
    ("changed", "vm"),
    [(VmObject(id="v"), "v"), (VbdObject(id=DeviceId("v", "x")), "v"), (TaskObject(id="1"), None)],
)
def test_an_object_belongs_to_its_vm(changed: ObjectId, vm: str | None) -> None:
    assert vm_of(changed) == vm
