"""The vocabulary: all that travels, and how it is written.

- The interface, exactly as the original's: `objects`, `methods`, and `own_methods` beside them; `rpc` makes
  requests and answers of them by the encoding in `wire`. `debug_info` names a request and its trace;
  `migration` is what two hosts say to each other.
- The log: `records`, with `log_records` and `overseen`; `operations` and `atomics` are what they are about,
  `ids` whom. `notices` go beside the log.
- Errors: `fault` carries one to whoever must be told, `sentences` puts it in words. Digits of strangers are
  read by `numbers`.
- `golden`, with `golden_checks` and `golden_types`, holds the encoding against the original's own samples.
"""
