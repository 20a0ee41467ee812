"""The command line `yaosu`: a command is a function in the module of its name."""

import sys
from importlib import import_module

import typer

COMMANDS = ("up", "demo", "trial", "bid", "share", "export", "verify", "replay", "doctor", "lab")

app = typer.Typer(
    name="yaosu",
    help="要素：能耗指标、排污权与土地指标市场。",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback()
def _several_commands() -> None: ...


def main() -> None:
    """Run the command that is asked for; its module alone is read, for `up` should not wait."""
    asked = sys.argv[1] if len(sys.argv) > 1 else ""
    for name in (asked,) if asked in COMMANDS else COMMANDS:
        app.command(name)(getattr(import_module(f"yaosu.{name}"), name))
    app()


if __name__ == "__main__":
    main()
