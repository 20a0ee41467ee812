import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from builders import USCC_ALPHABET, a_project_code, a_uscc
from marketkit.codes import (
    CITY,
    COUNTIES,
    PROVINCE,
    REGION_NAMES,
    CountyCode,
    ProjectCode,
    ProjectCodeInvalid,
    RegionUnknown,
    Uscc,
    UsccInvalid,
    check_project_code,
    check_uscc,
    county,
)


def test_the_city_and_its_counties_have_names() -> None:
    assert (CITY, PROVINCE) == ("370500", "370000")
    assert REGION_NAMES[CITY] == "东营市"
    assert set(COUNTIES) < set(REGION_NAMES)
    assert all(code.startswith("3705") and len(code) == 6 for code in COUNTIES)


def test_an_old_code_answers_as_its_successor() -> None:
    assert county("370521") == "370505"  # 垦利县 became 垦利区 in 2016
    assert all(county(code) == code for code in COUNTIES)


@pytest.mark.parametrize("code", ["", CITY, PROVINCE, "370102", "3705", "3705020", "３70502"])
def test_another_region_is_none_of_ours(code: str) -> None:
    with pytest.raises(RegionUnknown):
        county(code)


@given(st.integers(0, 10**9 - 1))
def test_a_right_code_is_answered_as_written(number: int) -> None:
    code = a_uscc(number)
    assert check_uscc(code) == code


@given(st.integers(0, 10**9 - 1), st.integers(0, 17), st.sampled_from(USCC_ALPHABET))
def test_one_wrong_character_shows(number: int, place: int, other: str) -> None:
    code = a_uscc(number)
    changed = code[:place] + other + code[place + 1 :]
    if changed != code:
        with pytest.raises(UsccInvalid):
            check_uscc(changed)


@pytest.mark.parametrize("code", ["91350100M000100Y43"])
def test_the_examples_of_the_standard_hold(code: str) -> None:
    """GB 32100-2015, annex."""
    assert check_uscc(code) == code


@pytest.mark.parametrize(
    "wrong",
    ["", a_uscc().lower(), f" {a_uscc()}", f"{a_uscc()}\n", a_uscc()[:-1], a_uscc() + "0",
     "O" + a_uscc()[1:], "１" + a_uscc()[1:], "0" * 100_000],
)  # fmt: skip
def test_nothing_is_trimmed_or_folded(wrong: str) -> None:
    with pytest.raises(UsccInvalid):
        check_uscc(wrong)
    with pytest.raises(ValidationError):
        TypeAdapter[str](Uscc).validate_python("x" * 41)


@pytest.mark.parametrize(
    "wrong",
    ["", "2205-370502-04-01-00001", "2205_370502-04-01-000001", "２205-370502-04-01-000001"],
)  # fmt: skip
def test_a_project_code_has_its_layout(wrong: str) -> None:
    assert check_project_code(a_project_code(7)) == "2205-370502-04-01-000007"
    with pytest.raises(ProjectCodeInvalid):
        check_project_code(wrong)


def test_a_wrong_code_in_a_form_is_refused_with_its_own_code() -> None:
    """A refusal, raised while a form is read, passes through it."""
    for kind, wrong, refusal in (
        (Uscc, "x", UsccInvalid),
        (ProjectCode, "x", ProjectCodeInvalid),
        (CountyCode, "x", RegionUnknown),
    ):
        with pytest.raises(refusal) as refused:
            TypeAdapter[str](kind).validate_python(wrong)
        assert refused.value.status == 422
