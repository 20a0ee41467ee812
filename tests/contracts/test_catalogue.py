"""What others rely on changes only by decision: committed schemas are the generated ones."""

import json
from importlib.resources import files
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from contracts.catalogue import event_types, schemas, write
from corpus import stories

COMMITTED = Path(str(files("contracts"))) / "schemas"
MEND = "decide on the change (CHANGELOG, Contracts), then: make schemas"


def test_the_committed_schemas_are_those_of_the_classes(tmp_path: Path) -> None:
    write(tmp_path)
    generated = {file.name: file.read_text("utf-8") for file in tmp_path.iterdir()}
    committed = {file.name: file.read_text("utf-8") for file in COMMITTED.iterdir()}
    assert generated.keys() == committed.keys(), MEND
    assert [name for name in generated if generated[name] != committed[name]] == [], MEND


def test_every_schema_is_one() -> None:
    for _, schema in schemas():
        Draft202012Validator.check_schema(schema)


def test_every_event_type_is_named_in_the_field_s_words() -> None:
    for name in event_types():
        prefix, market, *words, version = name.split(".")
        assert prefix == "yaosu"
        assert market in {"energy", "emission", "land", "gateway"}
        assert len(words) == 2
        assert version.startswith("v")


def test_every_event_type_of_energy_stands_in_the_corpus() -> None:
    told = {json.loads(line)["type"] for line in stories()}
    wanted = {name for name in event_types() if name.startswith("yaosu.energy.")}
    assert wanted - told == set()


@pytest.mark.parametrize("line", stories())
def test_every_event_ever_told_is_still_read_without_loss(line: bytes) -> None:
    event = json.loads(line)
    fact = event_types()[event["type"]].model_validate(event["data"])
    again = fact.model_dump(mode="json")
    # Additions may give a later class more fields than the event had, never fewer.
    assert {name: again[name] for name in event["data"]} == event["data"]
    schema = json.loads((COMMITTED / f"{event['type']}.json").read_text("utf-8"))
    missing = [
        error
        for error in Draft202012Validator(schema).iter_errors(event["data"])
        if error.validator != "required"
    ]
    assert missing == []
