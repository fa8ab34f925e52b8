"""What backends on real hosts have in common: what is noted of a VM, and verbs that go by that."""
