"""KVM by libvirt: transient domains of a libvirtd, which outlive worker and libvirtd alike.

Begin with `hypervisor`, which has all of them, and `live`, one that libvirt has; `opening` makes a `backend`.

- The verbs: `vms`, `vbds`, `vifs`, `pcis`, `vusbs`, `host`; `states` what a client is told.
- What is known: `machine` of a VM, values alone; `lives` the domains of ours, `strays` those that are noted
  nowhere; `persistent_state` what libvirt keeps of a VM beyond its domain.
- A start: `bootable`, `document` the domain in libvirt's XML, `rules` on its taps; `settings`.
- While it runs: `noticing` and `ending` what happens by itself, `agents` and `guest_agent`, `sleeping`.
- Suspend and migration: `suspend`, `images`, `saved`, and `jobs` that can be cancelled; `departing` and
  `arriving` while the guest runs, `moving` as a file, by the `migration_protocol`; `socket_directories` for
  QEMU's sockets.
"""
