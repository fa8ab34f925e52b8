"""Storage: where disks are on a host, those in its own files and those that clients name `SR/VDI`.

- `ports` is what a host's storage is asked; `directory` answers by a directory of directories, `service` by a
  storage service over the bus, in the words of `smapi`. `choice` opens the one that an operator chose.
- `content` is what backends ask: it knows local disks, too, and `place` where on a disk a suspend image goes.
"""
