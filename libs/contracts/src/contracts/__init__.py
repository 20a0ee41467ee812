"""Every fact the services tell each other: one class an event."""
