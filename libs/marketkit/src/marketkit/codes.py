"""Identifiers: regions (GB/T 2260), unified social credit codes (GB 32100), project codes.

Pure: the region table is a data file read once.
"""

import re
import tomllib
from importlib.resources import files
from typing import Annotated, Any

from pydantic import AfterValidator, Field, StringConstraints
from stdnum.cn import uscc as _uscc

from marketkit.errors import RuleBroken

_TABLE = tomllib.loads(files("marketkit").joinpath("regions.toml").read_text("utf-8"))
CITY: str = _TABLE["city"]["code"]
PROVINCE: str = _TABLE["province"]["code"]
COUNTIES: dict[str, str] = _TABLE["counties"]
REGION_NAMES: dict[str, str] = {
    PROVINCE: _TABLE["province"]["name"],
    CITY: _TABLE["city"]["name"],
    **COUNTIES,
}
_ALIASES: dict[str, str] = _TABLE["aliases"]

_USCC = re.compile(r"[0-9A-HJ-NPQRTUWXY]{2}[0-9]{6}[0-9A-HJ-NPQRTUWXY]{10}")
_PROJECT = re.compile(r"[0-9]{4}-[0-9]{6}-[0-9]{2}-[0-9]{2}-[0-9]{6}")


class RegionUnknown(RuleBroken):
    title = "行政区划代码不在本市范围"


class UsccInvalid(RuleBroken):
    title = "统一社会信用代码有误"


class ProjectCodeInvalid(RuleBroken):
    title = "项目代码有误"


def county(code: str) -> str:
    """The county-level unit's code in force; an old code answers as its successor.

    Raises:
        RegionUnknown: no county-level unit of this city.
    """
    code = _ALIASES.get(code, code)
    if code not in COUNTIES:
        raise RegionUnknown()
    return code


def check_uscc(code: str) -> str:
    """The code as written, its form and last check digit right (GB 32100-2015).

    Raises:
        UsccInvalid: any other string; nothing is trimmed or folded first.
    """
    if not _USCC.fullmatch(code) or _uscc.calc_check_digit(code[:-1]) != code[-1]:
        raise UsccInvalid()
    return code


def check_project_code(code: str) -> str:
    """The code as written (GB/T 40058-2021 layout; its check digit is not public).

    Raises:
        ProjectCodeInvalid: another layout.
    """
    if not _PROJECT.fullmatch(code):
        raise ProjectCodeInvalid()
    return code


def _said(form: str, pattern: str = "") -> Any:
    # For the reader of a schema only: the check itself refuses with a code of its own.
    said: dict[str, Any] = {"format": form}
    return Field(json_schema_extra=said | ({"pattern": f"^{pattern}$"} if pattern else {}))


Uscc = Annotated[
    str, StringConstraints(max_length=40), AfterValidator(check_uscc), _said("uscc", _USCC.pattern)
]
ProjectCode = Annotated[
    str,
    StringConstraints(max_length=40),
    AfterValidator(check_project_code),
    _said("project-code", _PROJECT.pattern),
]
CountyCode = Annotated[
    str, StringConstraints(max_length=12), AfterValidator(county), _said("county-code")
]
