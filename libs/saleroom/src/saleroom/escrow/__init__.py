"""Escrow: what came in, where it lies, and whether treasury and ledger agree, to the fen."""
