"""Entries: registration, qualification, deposits."""
