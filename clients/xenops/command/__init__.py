"""The `xenops` command."""
