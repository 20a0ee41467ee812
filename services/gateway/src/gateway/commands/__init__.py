"""Commands forwarded to the service that owns what they change."""
