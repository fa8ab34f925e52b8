"""The event hub: what became of tasks, and what changed since a client looked last.

`fold` is what it knows of the log: `tasks`, `updates`, `quarantine`. `core` answers requests by it, `calls`
decides what each method comes to; `service` is the shell, `effects` all that it does for them.

- Who waits for news: `waiting`. A place in the log as clients have it: `tokens`.
- get_diagnostics: `diagnostics`, `described`. The fold as lines: `snapshot`. Traces: `spans`.
"""
