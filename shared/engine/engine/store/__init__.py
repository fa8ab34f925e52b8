"""Store: the metadata of VMs and their devices; a port, and the file tree of the original behind it."""

from engine.store.files import FileStore
from engine.store.names import is_device_name
from engine.store.port import DeviceTable, Store

__all__ = ["DeviceTable", "FileStore", "Store", "is_device_name"]
