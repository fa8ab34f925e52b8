"""What backends on real hosts have in common: what is noted of a VM, and verbs that go by that.

Begin with `machine`, a VM as it is noted, and `backend`, the verbs that all have alike.

- What is noted: `records` keeps it in files, `noting` tells whom it concerns, `notes` is what verbs ask of
  both; `states` is what is answered by it, `naming` how disks are called.
- Verbs: `vbds`, `vifs` and `vusbs` where a backend has such devices, `absent` where it has none,
  `unrestricted` where it sets them no limits; `ballooning` waits for a guest's memory.
- Disks: `localdisk` those of the host's own, `storage` those that clients name `SR/VDI`; `sent_file` is a
  saved VM between two hosts.
- Interfaces: `tap` their ends, `port_rules` what these let pass, `nft` how that is said.
- Devices of the host: `usb` and `usbfs`; `sysfs`. The host itself: `cpuinfo`.
"""
