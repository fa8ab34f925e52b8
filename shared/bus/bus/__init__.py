"""The bus: logs and requests between services, on RabbitMQ or in memory.

Begin with `ports`: it is all that a service may ask for.

- The two buses: `rabbit` and `memory`. Shared by both: `loop`, the thread that handlers run on, and `looped`;
  `calls`, questions that wait for answers; `trouble`, where a handler's bug is reported. `direct` carries
  requests between services of one host over Unix sockets.
- Each record counts once: `stamp` numbers it, `window` sends it until it is confirmed, `insist` offers it
  until it is taken, `dedup` tells repeats. `place` is where a reader is.
- Folds that outlive their process: `fold`, `follow`, `snapshots`, `versioned`. How much a broker keeps:
  `retention`.
- Names and rights: `topology`, `roles`, `users`. What counts for nobody: `quarantine`, `retrial`.
- A log for people: `exported`, `stories`.
- A service as a process: `process`, `ending`, `logs`, `collector`, `clock`, `pids`. How it dies when a test
  says so: `crash`, `crashing`.
"""
