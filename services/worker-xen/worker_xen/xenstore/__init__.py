"""xenstore: what a domain and its devices are in a xenstore, as values; the wide door to its daemon."""
