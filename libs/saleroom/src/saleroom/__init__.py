"""The sale procedure both trading services follow, by phase; clearing and sealing beside it."""
