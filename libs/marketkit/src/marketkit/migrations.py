"""Schema changes: a folder of Alembic revisions a package, all heads applied to a database.

`alembic/env.py` calls `run_migrations`; the revisions call the functions on roles and rows.
"""

from collections.abc import Iterable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from alembic import command, context, op
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, text

_IS_KEPT = "SELECT to_regclass('served_revision') IS NOT NULL"
_KEEP = "INSERT INTO served_revision SELECT unnest(CAST(:names AS text[])) ON CONFLICT DO NOTHING"
LOCK = 7_370_500  # one migration at a time, whoever starts it


def config(package: str, url: str, libraries: Sequence[str]) -> Config:
    """Alembic's configuration for a service and the libraries whose tables its database holds."""
    trees = [_folder(name, "revisions") for name in (*libraries, package)]
    found = Config()
    found.set_main_option("script_location", str(_folder("marketkit", "alembic")))
    found.set_main_option("path_separator", "newline")
    found.set_main_option("version_locations", "\n".join(str(tree) for tree in trees))
    found.attributes["url"] = url
    return found


def _folder(package: str, name: str) -> Path:
    file = import_module(package).__file__
    assert file is not None
    return Path(file).parent / name


def upgrade(package: str, url: str, libraries: Sequence[str]) -> None:
    """Bring the database to the newest schema, or leave it as it was."""
    command.upgrade(config(package, url, libraries), "heads")


def run_migrations() -> None:
    """What `env.py` does: all pending revisions in one transaction, under one lock."""
    settings = context.config
    engine = create_engine(settings.attributes["url"])
    applied: set[str] = set()

    def note(ctx: Any, step: Any, heads: Any, run_args: Any) -> None:
        if step.is_upgrade:
            applied.add(step.up_revision_id)

    with engine.connect() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
        has_served = connection.execute(text(_IS_KEPT)).scalar_one()
        context.configure(
            connection=connection,
            target_metadata=settings.attributes.get("metadata"),
            include_schemas=True,
            compare_type=True,
            on_version_apply=note,
        )
        with context.begin_transaction():
            context.run_migrations()
        if not has_served:
            # What was applied before this was kept serves, too.
            at = context.get_context().get_current_heads()
            lineage = context.script.iterate_revisions(at, "base", implicit_base=True)
            applied |= {found.revision for found in lineage}
        if connection.execute(text(_IS_KEPT)).scalar_one():
            connection.execute(text(_KEEP), {"names": sorted(applied)})
        connection.commit()
    engine.dispose()


def no_longer_serves(*revisions: str) -> None:
    """Called by a revision that contracts: programs that know none later than these must stop."""
    names = ", ".join(f"'{revision}'" for revision in revisions)
    op.execute(f"DELETE FROM served_revision WHERE revision IN ({names})")


def grant(table: str, *, scoped: str = "", market: str = "", worker: str = "") -> None:
    """What each of the three roles may do with a table; what is not named it may not."""
    for role, rights in (("scoped", scoped), ("market", market), ("worker", worker)):
        if rights:
            op.execute(f"GRANT {rights} ON {table} TO yaosu_{role}")


def append_only(table: str) -> None:
    """Refuse every update and delete of a row, whoever asks."""
    name = table.replace(".", "_")
    op.execute(
        f"CREATE TRIGGER {name}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
        "FOR EACH STATEMENT EXECUTE FUNCTION yaosu_refuse_change()"
    )


def row_security(table: str, *, region: str = "''", uscc: str = "''") -> None:
    """Let `scoped` see and write only rows of its region or its enterprise; the others all.

    Not forced on the owner, whom no request ever becomes: else its backups and data migrations
    would find no rows, or refuse.

    Args:
        table: The table.
        region: SQL expression of the row's region code.
        uscc: SQL expression of the row's enterprise.
    """
    op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
    op.execute(
        f"CREATE POLICY scoped ON {table} TO yaosu_scoped "
        f"USING (yaosu_sees({region}, {uscc})) WITH CHECK (yaosu_sees({region}, {uscc}))"
    )
    op.execute(
        f"CREATE POLICY spanning ON {table} TO yaosu_market, yaosu_worker "
        "USING (true) WITH CHECK (true)"
    )


def heads(package: str, libraries: Sequence[str]) -> frozenset[str]:
    """The revisions of which a database must serve each for this program to serve from it."""
    scripts = ScriptDirectory.from_config(config(package, "", libraries))
    # Alembic's table drops a revision that another one there depends on: it is implied.
    implied = {name for found in scripts.walk_revisions() for name in _names(found.dependencies)}
    return frozenset(scripts.get_heads()) - implied


def _names(names: str | Iterable[str] | None) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(names or ())
