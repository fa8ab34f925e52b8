"""`python -m xenops`: the `xenops` command where it is not on the path."""

from xenops.command.main import entry

if __name__ == "__main__":
    entry()
