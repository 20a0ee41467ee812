"""`python -m energy_trade --role all|api|worker|opener|migrate`."""

from energy_trade.main import create_app
from energy_trade.settings import Settings
from energy_trade.worker import loops, opener
from marketkit.program import Program, main

PROGRAM = Program("energy_trade", ("marketkit", "saleroom"), Settings, create_app, loops, opener)

if __name__ == "__main__":
    main(PROGRAM)
