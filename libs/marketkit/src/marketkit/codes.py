"""Identifiers: regions (GB/T 2260), unified social credit codes (GB 32100), project codes.

Pure: the region table is a data file read once.
"""

import re
import tomllib
from importlib.resources import files
from typing import Annotated

from pydantic import AfterValidator, StringConstraints
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

_USCC = re.compile(r"[0-9A-HJ-NPQRTUWXY]{2}\d{6}[0-9A-HJ-NPQRTUWXY]{10}", re.ASCII)
_PROJECT = re.compile(r"\d{4}-\d{6}-\d{2}-\d{2}-\d{6}", re.ASCII)


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


Uscc = Annotated[str, StringConstraints(max_length=40), AfterValidator(check_uscc)]
ProjectCode = Annotated[str, StringConstraints(max_length=40), AfterValidator(check_project_code)]
CountyCode = Annotated[str, StringConstraints(max_length=12), AfterValidator(county)]
