"""`python -m emission_trade --role all|api|worker|migrate`."""

from emission_trade.main import create_app
from emission_trade.settings import Settings
from emission_trade.worker import loops
from marketkit.program import Program, main

PROGRAM = Program("emission_trade", ("marketkit", "saleroom"), Settings, create_app, loops)

if __name__ == "__main__":
    main(PROGRAM)
