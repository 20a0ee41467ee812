"""The console of our commands: wide where no terminal says how wide it is, so nothing is cut."""

from rich.console import Console

WIDTH = 120


def screen() -> Console:
    """A console for tables in Chinese; into a file or a pipe it writes 120 columns."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=WIDTH)
