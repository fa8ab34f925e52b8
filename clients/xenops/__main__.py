"""`python -m xenops`: the `xenops` command where it is not on the path."""

import sys

from xenops.command.main import main

if __name__ == "__main__":
    sys.exit(main())
