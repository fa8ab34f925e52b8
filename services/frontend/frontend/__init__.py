"""The frontend: the doors, behind which all requests are alike.

`core` decides what becomes of a request, by `routes`; `returned` are those that found nobody. `service` is
the shell.

- Doors: `doors` opens what `settings` says, `rpc_door` for one call at a time, `switch` for xapi's message
  switch; both by `http`.
- Migrations: `migration` joins a source's connections with the worker that takes the VM, `arrivals` says what
  each is for; `passing` hands them over whole, `stream` byte by byte; `handover` takes those that xapi has
  accepted.
- Traces: `spans`.
"""
