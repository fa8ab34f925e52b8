"""The bus on RabbitMQ: streams for logs, queues for requests. The only importer of pika."""

from bus.rabbit.bus import RabbitBus

__all__ = ["RabbitBus"]
