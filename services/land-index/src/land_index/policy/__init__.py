"""The rules of land-index in force on a day; no feature has brought one yet."""

from datetime import date

from marketkit.policy import PolicyVersion, in_force, load_versions


class Policy(PolicyVersion):
    """One consolidated version of the rules."""


_VERSIONS = load_versions("land_index.policy", Policy)


def policy_on(day: date) -> Policy:
    """The rules in force on a day."""
    return in_force(_VERSIONS, day)
