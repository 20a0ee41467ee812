"""What the applications say of themselves: valid, complete, and changed by nobody unseen."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

from descriptions import ROOT, descriptions, text
from marketkit.description import KEY, described

DESCRIPTIONS = descriptions()
each = pytest.mark.parametrize(
    "place", DESCRIPTIONS, ids=lambda path: str(path.relative_to(ROOT).parent)
)


def operations(place: Path) -> list[Any]:
    return list(described(DESCRIPTIONS[place]))


@each
def test_the_committed_description_is_the_application_s(place: Path) -> None:
    # `make schemas` writes it anew; clients are made from it, so a change is a decision.
    assert place.read_text() == text(DESCRIPTIONS[place])


@each
def test_it_is_openapi(place: Path) -> None:
    validate(DESCRIPTIONS[place])


@each
def test_every_operation_has_a_name_of_its_own(place: Path) -> None:
    names = Counter(one.said["operationId"] for one in operations(place))
    assert [name for name, count in names.items() if count > 1] == []


@each
def test_every_refusal_is_a_problem_document(place: Path) -> None:
    found = DESCRIPTIONS[place]
    for one in operations(place):
        refused = {status: said for status, said in one.said["responses"].items() if status >= "4"}
        assert {"400", "500", "503"} <= refused.keys()
        assert ({"401", "403"} <= refused.keys()) == ("security" in one.said)
        for status, said in refused.items():
            assert said == {"$ref": f"#/components/responses/Refused{status}"}
            content = found["components"]["responses"][f"Refused{status}"]["content"]
            assert list(content) == ["application/problem+json"]


@each
def test_every_command_says_that_it_needs_a_key(place: Path) -> None:
    # Moving the demonstration's clock and what anyone may ask for are no commands.
    asked = {"move_clock", "try_rule", "make_dev_token"}
    commands = {
        one.said["operationId"]
        for one in operations(place)
        if one.method == "post" and one.said["operationId"] not in asked
    }
    said = {one.said["operationId"] for one in operations(place) if one.is_command}
    assert said == commands
    for one in operations(place):
        keys = [found for found in one.said.get("parameters", ()) if found["name"] == KEY]
        assert all(key["required"] for key in keys)


@each
def test_no_question_may_hold_what_postgresql_has_no_text_for(place: Path) -> None:
    asked = [
        parameter["schema"]
        for one in operations(place)
        for parameter in one.said.get("parameters", ())
        if parameter["in"] == "query"
    ]
    for schema in asked:
        validator = Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER)
        assert not validator.is_valid("a\0"), schema


def test_what_a_command_makes_leads_on() -> None:
    found = DESCRIPTIONS[ROOT / "services/energy-trade/openapi.json"]
    drafted = found["paths"]["/v1/sales"]["post"]["responses"]["201"]["links"]
    assert {"announce_sale", "register", "place_sealed_bid", "show_sale"} <= drafted.keys()
    assert drafted["announce_sale"] == {
        "operationId": "announce_sale",
        "parameters": {"sale_id": "$response.body#/sale_id"},
    }
    asked = "/v1/sales/{sale_id}/cancellations/requests"
    assert found["paths"][asked]["post"]["responses"]["201"]["links"]["cancel_sale"] == {
        "operationId": "cancel_sale",
        "parameters": {
            "sale_id": "$request.path.sale_id",
            "request_id": "$response.body#/request_id",
        },
    }
