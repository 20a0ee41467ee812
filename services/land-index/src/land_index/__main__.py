"""`python -m land_index --role all|api|worker|migrate`."""

from land_index.main import create_app
from land_index.settings import Settings
from land_index.worker import loops
from marketkit.program import Program, main

PROGRAM = Program("land_index", ("marketkit",), Settings, create_app, loops)

if __name__ == "__main__":
    main(PROGRAM)
