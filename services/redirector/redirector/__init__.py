"""The redirector: which task may run now, and on which worker.

`fold` is what every replica knows of the log, `core` what the leader decides by it, `operators` what it
answers to LANE.* and WORKER.*; `service` is their shell, `effects` all that it does for them.

- What waits and runs: `lanes`, each a `lane` in the circle of `turns`; `claims`, `deadlines`, `followers`.
- Who runs it: `workers`. What was asked before: `requests`. How much may be: `limits`, `settings`.
- What is kept of an operation: `brief`. The fold as bytes: `snapshot`, by `columns`. Traces: `spans`.
"""
