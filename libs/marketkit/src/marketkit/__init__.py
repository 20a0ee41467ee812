"""Mechanism that is the same by definition in every factor market. It knows no market."""
