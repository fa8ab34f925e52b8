"""KVM by running QEMU ourselves: a process for each domain, told what to do over QMP.

Begin with `hypervisor`, which has all of them, and `live`, one that runs; `backend` makes verbs of it.

- The verbs: `vms`, `vbds`, `vifs`, `pcis`, `vusbs`, `host`; `states` what a client is told.
- What is known: `machine` of a VM, values alone; `records` keeps it, `sweep` finds QEMUs by where they run.
- A start: `starting` opens files, `open_files` hands them over, `command` and `devices` say it in QEMU's
  words, `process` runs it as `user` says; `firmware` and `tpm` where wanted; `settings`, `logs`.
- Disks: `content` where their bytes are, `qcow2`, `nodes`, `media`, `throttling`, `disk_growth`.
- While it runs: `listener` and `ending` what happens by itself, `agents` and `guest_agent`, `vcpus`,
  `sleeping`.
- Suspend and migration: `saving`; `outgoing` and `incoming` carry a state, `arriving` is what it must fit,
  `framing` and `imagefile` its file; `mirrored`, `mirroring` and `exporting` disks that go along; `self_pipe`
  wakes who polls.
"""
