"""Store: the metadata of VMs and their devices; a port, and behind it a file tree, or a xenstore."""

from engine.store.choice import XenstorePlace, open_store
from engine.store.files import FileStore
from engine.store.names import is_device_name
from engine.store.port import DeviceTable, Store

__all__ = ["DeviceTable", "FileStore", "Store", "XenstorePlace", "is_device_name", "open_store"]
