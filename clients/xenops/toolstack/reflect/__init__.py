"""Reflect: what xenops says of VMs and devices, as XenAPI's fields. Pure: states in, changes out."""

from xenops.toolstack.reflect.changes import Change, Create, Destroy, Update, apply
from xenops.toolstack.reflect.devices import (
    DeviceNews,
    find_vbd,
    find_vif,
    pci_news,
    vbd_news,
    vgpu_news,
    vif_news,
    vusb_news,
)
from xenops.toolstack.reflect.machine import VmNews, vm_news, xenapi_time

__all__ = [
    "Change",
    "Create",
    "Destroy",
    "DeviceNews",
    "Update",
    "VmNews",
    "apply",
    "find_vbd",
    "find_vif",
    "pci_news",
    "vbd_news",
    "vgpu_news",
    "vif_news",
    "vm_news",
    "vusb_news",
    "xenapi_time",
]
