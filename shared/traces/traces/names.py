"""Names: what spans' attributes are called that are ours; docs/tracing.md explains them."""

INSTANCE = "xenops.instance"
OPERATION = "xenops.operation"
VM = "xenops.vm.id"
WORKER = "xenops.worker"

TASK = "xenops.task.id"
TASK_DBG = "xenops.task.dbg"
TASK_MERGED_INTO = "xenops.task.merged_into"
