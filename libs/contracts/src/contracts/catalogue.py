"""Every event there is, by market, and its JSON Schema: what other systems may rely on.

`python -m contracts.catalogue FOLDER` writes the schemas; a test holds the committed ones to it.
"""

import json
import sys
from collections.abc import Iterator
from inspect import isclass
from pathlib import Path
from types import ModuleType
from typing import Any

from contracts import drill, energy, escrow, holdings, sale
from marketkit.facts import Fact

MARKETS: dict[str, tuple[ModuleType, ...]] = {
    "energy": (holdings, drill, sale, escrow, energy),
    "emission": (holdings, drill, sale, escrow),
    "land": (),
    "gateway": (),
}


def facts_of(market: str) -> list[type[Fact]]:
    """The facts a market's service may tell."""
    return [
        found
        for module in MARKETS[market]
        for found in vars(module).values()
        if isclass(found) and issubclass(found, Fact) and found is not Fact
    ]


def event_types() -> dict[str, type[Fact]]:
    """Every event type, and the class that is its one definition."""
    return {fact.type_in(market): fact for market in MARKETS for fact in facts_of(market)}


def schemas() -> Iterator[tuple[str, dict[str, Any]]]:
    """Each event type with the JSON Schema of its `data`."""
    for name, fact in sorted(event_types().items()):
        schema = fact.model_json_schema(mode="serialization")
        yield (
            name,
            {
                "$schema": "https://json-schema.org/draft/2020-12/schema",
                "$id": f"/schemas/{name}.json",
                **schema,
            },
        )


def write(folder: Path) -> None:
    """Write all schemas anew, and nothing else, into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.json"):
        old.unlink()
    for name, schema in schemas():
        text = json.dumps(schema, ensure_ascii=False, indent=2, sort_keys=True)
        (folder / f"{name}.json").write_text(text + "\n", "utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
