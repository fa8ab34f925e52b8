"""A RabbitMQ of one's own: one node, or a cluster of three, for the stack, tests and benchmarks."""
