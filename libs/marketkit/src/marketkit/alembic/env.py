from marketkit.migrations import run_migrations

run_migrations()
