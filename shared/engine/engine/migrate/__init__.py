"""Migration: the source's and the destination's side of a VM's way from one host to another.

What is said between them is in `schema.migration`, what is done between two words in `engine.plan.migrate`.
Here are the connections, the four synchronisation points, and what is done about a side that has died.
"""
