"""VMs on QEMU, with KVM or without, by running QEMU ourselves or by libvirt.

Begin with `service`, which makes a worker of either backend; `settings` are what may be chosen.

- The backends: `qemu` and `libvirt`. What their verbs have alike: `vms`, `vbds`, `pcis`; `guests`
  is what these ask of either. `kind` is a VM's machine: q35, pc, microvm. What is seen of a guest from
  outside is `watched`; `poller` looks at what tells nothing.
- Disks: `qemu.content` where they are, `throttle` their limits.
- Interfaces: `network` makes taps on bridges; `tapless` is what cannot be had without one.
- Devices of the host: `hostdevices` those of a domain, `passthrough` what is owed for them; `pci` and `vfio`
  are the host's side of PCI.
- Migrations: `downtime`; `tunnels` between QEMU's sockets and a migration's lines.
- The host: `accelerator` whether KVM works, `rights` of programs that are started, `numbered` domains.
"""
