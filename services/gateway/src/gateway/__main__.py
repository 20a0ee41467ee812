"""`python -m gateway --role all|api|worker|migrate`."""

from gateway.main import create_app
from gateway.settings import Settings
from gateway.worker import loops
from marketkit.program import Program, main

PROGRAM = Program("gateway", ("marketkit",), Settings, create_app, loops)

if __name__ == "__main__":
    main(PROGRAM)
