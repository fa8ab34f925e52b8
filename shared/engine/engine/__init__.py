"""The engine: all of a worker but its hypervisor.

Begin with `worker`: its core says which leases to run, its runner executes one.

- What an operation comes to: `admit` whether it may begin, `plan` its steps, from what `view` holds of the
  VM; `check` what a VM needs that has changed by itself, `owed` what is checked after a failure.
- How it is done: `execute` runs a plan, `perform` a step; `progress`, `cancellation`, `hooks` and
  `hook_names`. Threads are `threads`, `turns` and `branches`.
- What outlives a worker: `journal` and `lock`; files are replaced by `swap`.
- Metadata: `store`; `mac` for interfaces without an address, `objects` and `sharing` for what is told of it.
- Requests that need no lease: `control`. From host to host: `migrate`.
- Hypervisors: `backend` is the port, `conformance` the tests that each implementation must pass, `simulator`
  one in full. `hosted` is what those on real hosts share; all share `image`, `holding`, `refusals`
  and `domain_type`.
"""
