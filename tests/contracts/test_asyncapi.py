"""The description of the wires is that of the classes, whole, and describes what was told."""

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from contracts.asyncapi import document, text
from contracts.catalogue import event_types
from corpus import stories
from yaosu.broker import read_topics

COMMITTED = Path(str(files("contracts"))) / "asyncapi.json"


def references(node: Any) -> list[str]:
    if isinstance(node, dict):
        own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
        return own + [found for value in node.values() for found in references(value)]
    if isinstance(node, list):
        return [found for value in node for found in references(value)]
    return []


def test_the_committed_description_is_that_of_the_classes() -> None:
    assert COMMITTED.read_text("utf-8") == text(), "then: make schemas"


def test_every_event_has_a_message_and_every_topic_a_channel() -> None:
    described = document()
    assert set(described["components"]["messages"]) == set(event_types())
    addresses = {channel["address"] for channel in described["channels"].values()}
    assert addresses == set(read_topics().topics)


def test_every_reference_leads_somewhere() -> None:
    described = document()
    for reference in references(described):
        node: Any = described
        for step in reference.removeprefix("#/").split("/"):
            node = node[step]


@pytest.mark.parametrize("line", stories())
def test_what_was_told_is_what_is_described(line: bytes) -> None:
    described = document()
    event = json.loads(line)
    payload = described["components"]["messages"][event["type"]]["payload"]
    Draft202012Validator({**payload, "components": described["components"]}).validate(event)
