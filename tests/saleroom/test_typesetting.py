"""A page in Chinese: the same bytes for the same input, and user text as it was written."""

import io
from datetime import UTC, datetime

import pytest
from pypdf import PdfReader

from saleroom.typesetting import SAID_BYTES_MAX, PageTooLarge, code_of, typeset

DATED = datetime(2022, 6, 1, tzinfo=UTC)
PAGE = '#set document(title: "题")\n#set text(font: "Noto Sans CJK SC", lang: "zh")\n'
PRINT = PAGE + "#sys.inputs.name"


def printed(pdf: bytes) -> str:
    return "".join(page.extract_text() for page in PdfReader(io.BytesIO(pdf)).pages)


def test_the_same_input_is_the_same_pdf() -> None:
    first, again = (typeset(PRINT, {"name": "东营市"}, DATED) for _ in range(2))
    assert first == again
    assert first.startswith(b"%PDF-1.7")
    assert first != typeset(PRINT, {"name": "东营区"}, DATED)
    assert first != typeset(PRINT, {"name": "东营市"}, DATED.replace(day=2))


def test_a_page_is_dated_as_told_and_made_for_the_archive() -> None:
    pdf = typeset(PRINT, {"name": "东营市"}, DATED)
    said = PdfReader(io.BytesIO(pdf)).metadata
    assert said is not None
    assert said.creation_date == DATED
    assert b"pdfaid:part" in pdf


@pytest.mark.parametrize(
    "name",
    [
        "#eval(\"1+1\")", "$x^2$", "*粗* _斜_", "`原样`", "= 标题", "@引用", "<标签>", "// 注释",
        "/* 注释 */", "\\u{4e00}", "\"引号\"", "[括号] {花括号}", "- 项目", "#include \"a.typ\"",
        "#sys.inputs", "~", "a'b''c",
    ],
)  # fmt: skip
def test_what_a_user_wrote_is_printed_as_written(name: str) -> None:
    assert printed(typeset(PRINT, {"name": name}, DATED)).strip() == name


def test_a_character_no_font_has_leaves_the_rest_readable() -> None:
    pdf = typeset(PRINT, {"name": "东营\U00013000市"}, DATED)
    assert "东营" in printed(pdf)


def test_more_than_a_paper_may_say_is_refused() -> None:
    with pytest.raises(PageTooLarge):
        typeset(PRINT, {"name": "长" * (SAID_BYTES_MAX // 3 + 1)}, DATED)


def test_a_code_is_drawn_alike_each_time_and_another_for_another_address() -> None:
    address = "/proofs/sale/bid-receipt/receipt?sm3=" + "0" * 64
    assert code_of(address) == code_of(address)
    assert code_of(address) != code_of(address.replace("0", "1"))
    assert code_of(address).startswith("<svg")
