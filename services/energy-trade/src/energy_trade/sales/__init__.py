"""Sales of energy quota (art. 5): the saleroom's procedure with this market's own rules."""
