"""Law as data: one TOML file is everything in force from its day, each value with its article."""

import hashlib
import re
import tomllib
from collections.abc import Iterable, Sequence
from datetime import date
from decimal import Decimal
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from marketkit.errors import InputInvalid

T = TypeVar("T")
P = TypeVar("P", bound="PolicyVersion")

_FILE = re.compile(r"(\d{4}-\d\d-\d\d)\.toml", re.ASCII)
_REGION = re.compile(r"\d{6}", re.ASCII)


class Rules(BaseModel):
    """A group of rules, or a value with parts: strict, frozen, unknown keys refused."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Rule(Rules, Generic[T]):
    """One value a document sets: what, in which unit, by which article."""

    value: T
    unit: str = Field(min_length=1)
    article: str = Field(min_length=1)
    note: str = ""


class PolicyVersion(Rules):
    """Everything in force from one day on; a service adds one field for each rule.

    `version` is the day and the first eight hex digits of the SHA-256 of the file's bytes.
    """

    effective: date
    version: str
    region: str | None = None


class PolicyBroken(Exception):
    """A policy file that may not be used: the service does not start."""


class PolicyDateTooEarly(InputInvalid):
    title = "早于第一份政策文件的生效日期"
    code = InputInvalid.code


def load_versions(source: str | Path, cls: type[P]) -> tuple[P, ...]:
    """Every version under a package (by its name) or a folder, checked.

    Files are named by the day they take effect: `<date>.toml`, or `<region>/<date>.toml` where a
    region's own rules stand in for the common ones as a whole.

    Raises:
        PolicyBroken: A file is misnamed or unreadable, a key is missing, misspelt or ill-typed,
            or there is no common file.
    """
    root: Traversable = files(source) if isinstance(source, str) else source
    folders = [(None, root), *((one.name, one) for one in root.iterdir() if _is_region(one))]
    versions = tuple(
        _load(file, region, cls) for region, folder in folders for file in _policy_files(folder)
    )
    if all(one.region for one in versions):
        raise PolicyBroken(f"no policy file in {root}")
    return versions


def in_force(versions: Sequence[P], day: date, region: str | None = None) -> P:
    """The version in force on a day; a region's own, once it has one, before the common one.

    Raises:
        PolicyDateTooEarly: The day lies before the first file.
    """
    begun = [one for one in versions if one.effective <= day and one.region in (None, region)]
    if not begun:
        raise PolicyDateTooEarly()
    return max(begun, key=lambda one: (one.region is not None, one.effective))


def _is_region(entry: Traversable) -> bool:
    return entry.is_dir() and _REGION.fullmatch(entry.name) is not None


def _policy_files(folder: Traversable) -> Iterable[Traversable]:
    return sorted(
        (entry for entry in folder.iterdir() if entry.name.endswith(".toml")),
        key=lambda entry: entry.name,
    )


def _load(file: Traversable, region: str | None, cls: type[P]) -> P:
    content = file.read_bytes()
    named = _FILE.fullmatch(file.name)
    if not named:
        raise PolicyBroken(f"{file}: its name must be the day it takes effect")
    try:
        table = tomllib.loads(content.decode("utf-8"), parse_float=Decimal)
        known = {"version": f"{named[1]}+{hashlib.sha256(content).hexdigest()[:8]}"}
        if clash := table.keys() & {"version", "region"}:
            raise PolicyBroken(f"{file}: may not set {sorted(clash)}")
        policy = cls.model_validate({**table, **known, "region": region})
    except (ValidationError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise PolicyBroken(f"{file}: {error}") from error
    if policy.effective.isoformat() != named[1]:
        raise PolicyBroken(f"{file}: its name and its `effective` day differ")
    return policy
