"""The bus on RabbitMQ: streams for logs, queues for requests. The only importer of pika."""

import logging

from bus.rabbit.bus import RabbitBus

logging.getLogger("pika").setLevel(logging.CRITICAL)  # what matters of it, the bus says in a sentence

__all__ = ["RabbitBus"]
