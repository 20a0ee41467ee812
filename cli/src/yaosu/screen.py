"""Where commands print: as wide as the terminal, and wide enough for our tables in a file."""

import sys

from rich.console import Console

FILE_COLUMNS = 132


def console() -> Console:
    return Console(highlight=False, width=None if sys.stdout.isatty() else FILE_COLUMNS)
