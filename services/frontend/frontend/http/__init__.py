"""HTTP/1.1 for every door: one protocol on an event loop, no thread for a connection."""
