"""Trials 试算: the same rule, the same policy, nothing stored."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Annotated, Any, Generic, TypeVar

from fastapi import APIRouter, Query, Request
from pydantic import TypeAdapter, ValidationError

from marketkit.doors import open_to
from marketkit.errors import InputInvalid, NotFound
from marketkit.policy import PolicyVersion
from marketkit.strict_json import JsonUnreadable, faults, loads
from marketkit.units import SHANGHAI, Day, Form

F = TypeVar("F", bound=Form)
P = TypeVar("P", bound=PolicyVersion)

_DAY = TypeAdapter[date](Day)
_PolicyDay = Annotated[str | None, Query(json_schema_extra={"format": "date"})]


class TrialUnknown(NotFound):
    title = "没有这项试算"


@dataclass(frozen=True)
class _Trial(Generic[P]):
    form_class: type[Form]
    answer: Callable[[Any, P], Form | Mapping[str, Any]]


class Trials(Generic[P]):
    """The rules of one service that can be tried, by name, under the policy of any day."""

    def __init__(self, policy_on: Callable[[date], P]) -> None:
        self._policy_on = policy_on
        self._trials: dict[str, _Trial[P]] = {}

    def add(
        self,
        name: str,
        form_class: type[F],
        answer: Callable[[F, P], Form | Mapping[str, Any]],
    ) -> None:
        """Offers a rule: `answer` gets the checked form and the policy, and nothing else."""
        assert name not in self._trials, f"trial {name} is there already"
        self._trials[name] = _Trial(form_class, answer)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(sorted(self._trials))

    def answer(self, name: str, body: bytes, on: date) -> dict[str, Any]:
        """The trial's result, ready for JSON, with the version of the policy that decided.

        Raises:
            TrialUnknown: No such trial here.
            JsonUnreadable: The body cannot be read.
            InputInvalid: A field is malformed, or the day lies before the first policy.
            Refusal: What the rule itself refuses.
        """
        trial = self._trials.get(name)
        if trial is None:
            raise TrialUnknown()
        try:
            form = trial.form_class.model_validate(loads(body))
        except ValidationError as error:
            raise faults(error) from None
        policy = self._policy_on(on)
        result = trial.answer(form, policy)
        said = result.model_dump(mode="json") if isinstance(result, Form) else dict(result)
        return {**said, "policy_version": policy.version}


def read_day(text: str | None) -> date:
    """The day whose rules are asked for; today where none is named.

    Raises:
        InputInvalid: The text is no day.
    """
    if text is None:
        # No database stands behind a trial, so the machine's clock decides: the only such place.
        return datetime.now(SHANGHAI).date()  # noqa: TID251
    try:
        return _DAY.validate_python(text)
    except ValidationError:
        raise InputInvalid("policy须为YYYY-MM-DD日期") from None


def routes(trials: Trials[P]) -> APIRouter:
    """`POST /v1/trials/{name}?policy=YYYY-MM-DD`: open to all, without token or key."""
    router = APIRouter(tags=["trials"])
    body = {"required": True, "content": {"application/json": {"schema": {"type": "object"}}}}

    door = open_to("anyone")
    door["openapi_extra"]["requestBody"] = body

    @router.post("/v1/trials/{name}", summary="试算", **door)
    async def try_rule(name: str, request: Request, policy: _PolicyDay = None) -> dict[str, Any]:
        if len(request.query_params.getlist("policy")) > 1:
            raise JsonUnreadable("参数policy重复")
        return trials.answer(name, await request.body(), read_day(policy))

    return router
