import json
import time
from contextlib import suppress
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, ValidationError

from marketkit.errors import InputInvalid, Refusal, problem
from marketkit.strict_json import DEPTH_MAX, JsonUnreadable, faults, loads
from marketkit.units import Day, Form, PriceYuan, QuantityTce, Text

CANARY = "CANARY秘密"


class Step(Form):
    price_yuan: PriceYuan
    count: Annotated[int, Field(ge=1, le=2**31 - 1)]


class Everything(Form):
    quantity_tce: QuantityTce
    name: Text
    kind: Literal["A", "B"]
    on: Day
    steps: list[Step]
    flag: bool


def check(body: bytes) -> Everything:
    try:
        return Everything.model_validate(loads(body))
    except ValidationError as error:
        raise faults(error) from None


def body_with(**fields: Any) -> bytes:
    good = {
        "quantity_tce": "1.000",
        "name": "示例",
        "kind": "A",
        "on": "2022-05-01",
        "steps": [{"price_yuan": "200.00", "count": 1}],
        "flag": True,
    }
    return json.dumps(good | fields).encode()


UNREADABLE = {
    "1 NaN": b'{"price_yuan":NaN}',
    "2 Infinity": b'{"price_yuan":Infinity}',
    "2 -Infinity": b"[-Infinity]",
    "3 1e400": b'{"a":1e400}',
    "3 -1e400": b'{"a":-1e400}',
    "8 duplicate key": b'{"count":1,"count":2}',
    "8 duplicate key, escaped": b'{"count":1,"c\\u006funt":2}',
    "8 duplicate key, deeper": b'[{"a":{"count":1,"count":1}}]',
    "21 5,000 digits": b'{"a":' + b"7" * 5_000 + b"}",
    "24 nested arrays": b"[" * 100_000,
    "24 nested objects": b'{"a":' * 100_000,
    "24 nested and closed": b"[" * 33 + b"]" * 33,
    "27 invalid UTF-8": b'{"a":"\xff"}',
    "27 encoded surrogate": b'{"a":"\xed\xa0\x80"}',
    "27 UTF-16 BOM": '{"a":1}'.encode("utf-16"),
    "27 UTF-16": '{"a":1}'.encode("utf-16-be"),
    "27 UTF-8 BOM": b'\xef\xbb\xbf{"a":1}',
    "syntax": b'{"a":1',
    "trailing comma": b'{"a":1,}',
    "two values": b"{} {}",
    "control character": b'{"a":"\n"}',
    "unfinished text": b'{"a":"\\"',
    "comment": b"{} // a",
    "closed too often": b"[]]",
}


@pytest.mark.parametrize("body", UNREADABLE.values(), ids=UNREADABLE.keys())
def test_what_two_readers_could_read_differently_cannot_be_read(body: bytes) -> None:
    with pytest.raises(JsonUnreadable) as refused:
        loads(body)
    assert (refused.value.status, refused.value.code) == (400, "INPUT_INVALID")


READ_BUT_WRONG = {
    "4 text NaN": body_with(steps=[{"price_yuan": "NaN", "count": 1}]),
    "5 text Infinity": body_with(quantity_tce="Infinity"),
    "6 lone surrogate": b'{"a":"\\ud800"}',
    "6 lone surrogate in a key": b'{"\\uDFFF":1}',
    "6 lone surrogate in a list": b'["\\ud83d"]',
    "7 NUL in text": body_with(name="a\0b"),
    "9 unknown field": body_with(role="admin"),
    "10 true for a count": body_with(steps=[{"price_yuan": "1", "count": True}]),
    "11 text for a count": body_with(steps=[{"price_yuan": "1", "count": "7"}]),
    "12 1.0 for a count": body_with(steps=[{"price_yuan": "1", "count": 1.0}]),
    "18 100,000 digits": body_with(quantity_tce="7" * 100_000),
    "19 number for a quantity": body_with(quantity_tce=7),
    "19 fraction for a price": body_with(steps=[{"price_yuan": 0.1, "count": 1}]),
    "20 past 2^63 minor units": body_with(quantity_tce="9223372036854775.808"),
    "20 past 2^31": body_with(steps=[{"price_yuan": "1", "count": 2**31}]),
    "22 zero": body_with(quantity_tce="0.000"),
    "22 negative": body_with(quantity_tce="-1.000"),
    "23 more decimals": body_with(quantity_tce="1.0000"),
    "26 empty": b"",
    "26 blank": b" \n",
    "26 null": b"null",
    "26 list": b"[]",
    "26 text": b'"x"',
    "26 number": b"1",
    "50 no such day": body_with(on="2022-02-30"),
    "enumeration": body_with(kind=CANARY),
    "missing": b"{}",
    "1 for true": body_with(flag=1),
    "list for object": body_with(steps=[[]]),
    "object for list": body_with(steps={}),
}


@pytest.mark.parametrize("body", READ_BUT_WRONG.values(), ids=READ_BUT_WRONG.keys())
def test_what_is_read_but_malformed_is_input_invalid(body: bytes) -> None:
    with pytest.raises(InputInvalid) as refused:
        check(body)
    assert (refused.value.status, refused.value.code) == (422, "INPUT_INVALID")


@pytest.mark.parametrize(
    "quantity", ["1_000", "１", " 5 ", "1E-400", "-0", "+5", "007", ".5", "5."]
)
def test_rows_13_to_17_a_quantity_has_one_spelling(quantity: str) -> None:
    with pytest.raises(InputInvalid):
        check(body_with(quantity_tce=quantity))


def test_a_good_body_is_read_whole() -> None:
    form = check(body_with(name="😀山东"))
    assert (form.quantity_tce, form.name, form.steps[0].price_yuan) == (1_000, "😀山东", 20_000)


@pytest.mark.parametrize("field", ["quantity_tce", "name", "kind", "on", "steps", "flag"])
def test_no_refusal_echoes_what_was_sent(field: str) -> None:
    hostile = {field: [CANARY], CANARY: CANARY, "x" * 41: CANARY}
    with pytest.raises(InputInvalid) as refused:
        check(body_with(**hostile))
    said = json.dumps(problem(refused.value), ensure_ascii=False)
    assert CANARY not in said
    assert "x" * 41 not in said
    assert f"/{field}" in said


def test_each_fault_has_its_pointer_and_a_chinese_reason() -> None:
    with pytest.raises(InputInvalid) as refused:
        check(body_with(steps=[{"price_yuan": "1.234", "count": 1.5, "extra": 1}], flag=None))
    assert [tuple(fault) for fault in refused.value.errors] == [
        ("/steps/0/price_yuan", "须为十进制数字文本，至多2位小数"),
        ("/steps/0/count", "须为整数"),
        ("/steps/0/extra", "未知字段"),
        ("/flag", "须为true或false"),
    ]


def test_a_hundred_thousand_brackets_are_refused_in_50_ms() -> None:
    for hostile in (b"[" * 100_000, b'{"a":' * 100_000, b"[]" * 50_000, b'"\\"' * 80_000):
        spent_s = []
        for _ in range(3):
            begun = time.process_time()
            with pytest.raises(Refusal):
                loads(hostile)
            spent_s.append(time.process_time() - begun)
        assert min(spent_s) < 0.05


def test_the_deepest_allowed_nesting_is_read() -> None:
    assert loads(b"[" * DEPTH_MAX + b"]" * DEPTH_MAX)


def test_brackets_inside_text_do_not_count_as_nesting() -> None:
    text = '[{"' * 100 + "\\"
    assert loads(json.dumps({"a": text}).encode()) == {"a": text}


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(JSON_VALUES, st.booleans())
def test_whatever_can_be_written_is_read_back(value: Any, escaped: bool) -> None:
    assert loads(json.dumps(value, ensure_ascii=escaped).encode()) == value


@given(st.binary(max_size=200))
def test_no_bytes_break_the_reader(body: bytes) -> None:
    with suppress(InputInvalid, JsonUnreadable):
        loads(body)
