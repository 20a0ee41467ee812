"""What every application says of itself in OpenAPI, in production; `make schemas` writes it."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import emission_trade.__main__ as emission
import energy_trade.__main__ as energy
import gateway.__main__ as gateway
import land_index.__main__ as land
from builders import MAC_KEY, Trust, a_signer
from marketkit.db import Database
from marketkit.program import Parts, Program, applications

ROOT = Path(__file__).parents[1]
PROGRAMS: tuple[Program, ...] = (
    energy.PROGRAM, emission.PROGRAM, land.PROGRAM, gateway.PROGRAM,
)  # fmt: skip
# What stands on the inner port is the same everywhere.
INNER = ROOT / "libs/marketkit/openapi.inner.json"
NOWHERE = "postgresql+psycopg://nobody@127.0.0.1:9/none"


def descriptions() -> dict[Path, dict[str, Any]]:
    """Each description by the file that holds it. No database is asked."""
    found = {}
    with TemporaryDirectory() as keys_dir:
        for program in PROGRAMS:
            public, inside = applications(program, _parts(program, Path(keys_dir)))
            folder = program.package.replace("_", "-")
            found[ROOT / "services" / folder / "openapi.json"] = public.openapi()
            inner = inside.openapi()
    return found | {INNER: inner | {"info": inner["info"] | {"title": "内部端口"}}}


def text(description: dict[str, Any]) -> str:
    return json.dumps(description, ensure_ascii=False, indent=1) + "\n"


def _parts(program: Program, keys_dir: Path) -> Parts:
    said: dict[str, Any] = {
        "env": "test",
        "database_url": NOWHERE,
        "kafka_servers": "",
        "api_port": 0,
        "inner_port": 0,
        "keys_dir": keys_dir,
    }
    upstreams: dict[str, Any] = {"upstreams": {}} if program is gateway.PROGRAM else {}
    settings = program.settings(**(said | upstreams))
    signer = a_signer()
    house = Database(NOWHERE, settings.source, settings.market, signer, 1)
    return Parts(settings, house, Trust().verifier, MAC_KEY)


if __name__ == "__main__":
    for path, description in descriptions().items():
        path.write_text(text(description))
