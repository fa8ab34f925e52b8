"""The message switch: queues over HTTP, as xapi and its services speak with each other."""
