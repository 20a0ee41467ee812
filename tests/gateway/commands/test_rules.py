from typing import Any

import pytest

from gateway.commands.rules import CALLS_MIN, WINDOW_S, Breaker, find, operations_of

OPENAPI: dict[str, Any] = {
    "paths": {
        "/v1/sales": {
            "parameters": [],
            "get": {"x-public": True, "x-roles": ["anyone"], "tags": ["sales"]},
            "post": {"x-public": True, "x-roles": ["trading_center"]},
        },
        "/v1/sales/{sale_id}/sealed-bids": {
            "post": {"x-public": True, "x-roles": ["enterprise"], "tags": ["quiet"]}
        },
        "/v1/sales/drafts": {"get": {"x-public": False, "x-roles": ["auditor"]}},
        "/v1/sales/{sale_id}": {"get": {"x-public": True, "x-roles": ["anyone"]}},
        "/v1/a.b": {"get": {"x-public": "true"}},
    }
}
OPERATIONS = operations_of(OPENAPI)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("DELETE", "/v1/sales"),
        ("GET", "/v1/sales/"),
        ("GET", "/v1/sales/1/2"),
        ("GET", "/v1/sales//sealed-bids"),
        ("POST", "/v1/sales/1/2/sealed-bids"),
        ("GET", "/v1/axb"),
        ("get", "/v1/sales"),
        ("PARAMETERS", "/v1/sales"),
    ],
)
def test_what_a_service_does_not_offer_is_not_found(method: str, path: str) -> None:
    assert find(OPERATIONS, method, path) is None


def test_an_operation_says_who_may_and_whether_it_is_quiet() -> None:
    bid = find(OPERATIONS, "POST", "/v1/sales/01SALE/sealed-bids")
    assert bid is not None
    assert (bid.is_public, bid.is_quiet, bid.needs_token) == (True, True, True)
    listed = find(OPERATIONS, "GET", "/v1/sales")
    assert listed is not None
    assert (listed.is_public, listed.is_quiet, listed.needs_token) == (True, False, False)


def test_the_first_that_fits_is_meant_as_it_is_by_the_service() -> None:
    found = find(OPERATIONS, "GET", "/v1/sales/drafts")
    assert found is not None
    assert not found.is_public


def test_only_what_is_plainly_public_is() -> None:
    found = find(OPERATIONS, "GET", "/v1/a.b")
    assert found is not None
    assert not found.is_public


def failing(breaker: Breaker, count: int, at_s: float = 0.0, *, has_failed: bool = True) -> None:
    for _ in range(count):
        assert breaker.admits(at_s, 2.0)
        breaker.note(at_s, has_failed=has_failed, rest_s=2.0)


def test_a_service_is_spared_when_half_of_twenty_calls_fail() -> None:
    breaker = Breaker()
    failing(breaker, CALLS_MIN // 2, has_failed=False)
    failing(breaker, CALLS_MIN // 2 - 1)
    assert breaker.admits(0.0, 2.0)
    breaker.note(0.0, has_failed=True, rest_s=2.0)
    assert breaker.is_open
    assert not breaker.admits(1.9, 2.0)


def test_few_calls_or_few_failures_spare_nobody() -> None:
    breaker = Breaker()
    failing(breaker, CALLS_MIN - 1)
    assert not breaker.is_open
    lively = Breaker()
    failing(lively, 60, has_failed=False)
    failing(lively, 59)
    assert not lively.is_open


def test_failures_are_forgotten_after_a_while() -> None:
    breaker = Breaker()
    failing(breaker, CALLS_MIN - 1)
    failing(breaker, 1, WINDOW_S + 0.1)
    assert not breaker.is_open


def test_one_call_at_a_time_tries_whether_it_is_well_again() -> None:
    breaker = Breaker()
    failing(breaker, CALLS_MIN)
    assert breaker.admits(2.0, 2.0)
    assert not breaker.admits(2.0, 2.0)
    breaker.note(2.5, has_failed=True, rest_s=2.0)
    assert not breaker.admits(3.9, 2.0)
    assert breaker.admits(4.0, 2.0)
    breaker.note(4.1, has_failed=False, rest_s=2.0)
    assert not breaker.is_open
    failing(breaker, CALLS_MIN - 1, 5.0)
    assert not breaker.is_open
