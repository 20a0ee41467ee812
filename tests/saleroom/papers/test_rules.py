"""What papers say, the digest over it, and amounts in capitals."""

from collections.abc import Iterator
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import NOON
from marketkit.signing import canonical, sm3
from marketkit.units import MINOR_MAX
from paper_builders import ID, a_deal_confirmation, a_deposit_receipt, a_payment_notice
from paper_builders import a_bid_receipt as a_receipt
from saleroom.papers.rules import BidReceipt, Facts, digest, in_words, paper_no, proof, said

PAPERS = (a_receipt(), a_deposit_receipt(), a_deal_confirmation(), a_payment_notice())

SAID = (
    '{"bid_sm3":"ZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXp7fH1-f4CBgoM",'
    '"commitment":"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8",'
    '"id":"01ARZ3NDEKTSV4RRFFQ69G5FB0","issued_on":"2022-06-01","issuer":"东营市公共资源交易中心",'
    '"kid":"0123456789abcdef","kind":"bid-receipt",'
    '"paper_no":"报回〔2022〕01ARZ3NDEKTSV4RRFFQ69G5FB0号","party":{"name":"东营示例新材料有限公司",'
    '"project_code":"2205-370502-04-01-000001","uscc":"91370500000000001H"},'
    '"received_at":"2022-06-01T12:00:00.000123+08:00","sale":{"asset":"ENERGY",'
    '"policy_version":"2022-01-01+00000000","sale_id":"01ARZ3NDEKTSV4RRFFQ69G5FAV",'
    '"seller":"山东省能耗指标收储库","title":"2022年第一批能耗指标市场竞购公告","unit":"tce"},"version":1}'
)
DIGITS = {sign: value for value, sign in enumerate("零壹贰叁肆伍陆柒捌玖")}
POWERS = {"拾": 10, "佰": 100, "仟": 1000}


def whole(words: str) -> int:
    """The number read back, by the grammar of numerals and not by how they are written here."""
    for sign, power in (("亿", 10**8), ("万", 10**4)):
        if sign in words:
            high, _, rest = words.rpartition(sign)
            return whole(high) * power + whole(rest)
    total, digit = 0, 0
    for sign in words:
        if sign in POWERS:
            total, digit = total + digit * POWERS[sign], 0
        else:
            digit = DIGITS[sign]
    return total + digit


def fen_of(words: str) -> int:
    yuan, found, rest = words.removesuffix("整").rpartition("元")
    fen = whole(yuan) * 100 if found else 0
    for sign, worth in (("角", 10), ("分", 1)):
        digit, found, after = rest.partition(sign)
        if found:
            fen, rest = fen + DIGITS[digit[-1]] * worth, after
    assert not rest
    return fen


class TestAmountsInWords:
    @pytest.mark.parametrize(
        ("amount_fen", "words"),
        [
            # 银发〔1997〕393号 annex 1, its own examples.
            (140_950, "壹仟肆佰零玖元伍角"),
            (600_714, "陆仟零柒元壹角肆分"),
            (168_032, "壹仟陆佰捌拾元叁角贰分"),
            (10_700_053, "壹拾万柒仟元伍角叁分"),
            (1_640_902, "壹万陆仟肆佰零玖元零贰分"),
            (32_504, "叁佰贰拾伍元零肆分"),
            # Where there is no yuan, no more than a yuan, or a great many.
            (0, "零元整"),
            (5, "伍分"),
            (50, "伍角"),
            (105, "壹元零伍分"),
            (1_000, "壹拾元整"),
            (10_001_000, "壹拾万零壹拾元整"),
            (10_000_000_001, "壹亿元零壹分"),
            (100_010_000_000_000, "壹万零壹亿元整"),
            (100_000_000_000_000, "壹万亿元整"),
            (226_500_000, "贰佰贰拾陆万伍仟元整"),
        ],
    )
    def test_a_case(self, amount_fen: int, words: str) -> None:
        assert in_words(amount_fen) == words

    @given(st.integers(0, MINOR_MAX))
    def test_words_say_one_amount(self, amount_fen: int) -> None:
        assert fen_of(in_words(amount_fen)) == amount_fen

    @given(st.integers(0, 10**15))
    def test_words_are_written_as_banks_take_them(self, amount_fen: int) -> None:
        words = in_words(amount_fen)
        assert "零零" not in words
        assert not words.startswith("零") or amount_fen == 0
        assert words.endswith("整") == (amount_fen % 100 == 0)
        assert all(f"零{sign}" not in words for sign in "拾佰仟万亿角分")


class TestTheDigest:
    @pytest.mark.parametrize("paper", PAPERS, ids=lambda paper: paper.kind)
    def test_is_sm3_of_the_canonical_json(self, paper: Facts) -> None:
        assert digest(paper) == sm3(canonical(paper.model_dump(mode="json"))).hex()
        assert len(digest(paper)) == 64

    @pytest.mark.parametrize("paper", PAPERS, ids=lambda paper: paper.kind)
    def test_is_another_for_any_other_fact(self, paper: Facts) -> None:
        everything = paper.model_dump(mode="json")
        changed = [canonical(other) for other in with_one_leaf_changed(everything)]
        assert len(changed) > 15
        assert said(paper) not in changed
        assert len({sm3(other) for other in changed}) == len(changed)

    @pytest.mark.parametrize("paper", PAPERS, ids=lambda paper: paper.kind)
    def test_of_facts_read_back_is_the_same(self, paper: Facts) -> None:
        assert digest(type(paper).model_validate_json(said(paper))) == digest(paper)

    def test_of_one_paper_is_this_for_ever(self) -> None:
        # What `openssl dgst -sm3` answers of these bytes.
        assert said(a_receipt()).decode() == SAID
        assert (
            digest(a_receipt())
            == "b3548cb3d846bc5d1526d997835ee01a337e00ed3f0e79ee5c97aa763fa9d148"
        )

    def test_is_where_the_code_leads(self) -> None:
        receipt = a_receipt()
        sale = receipt.sale.sale_id
        assert proof(receipt) == f"/proofs/{sale}/bid-receipt/{ID}?sm3={digest(receipt)}"


def with_one_leaf_changed(facts: Any) -> Iterator[Any]:
    """The same facts, once for each value in them, that value another."""
    if isinstance(facts, dict):
        for name, value in facts.items():
            yield from (facts | {name: other} for other in with_one_leaf_changed(value))
    elif isinstance(facts, list):
        for place, value in enumerate(facts):
            for other in with_one_leaf_changed(value):
                yield [*facts[:place], other, *facts[place + 1 :]]
    else:
        yield f"{facts}!"


def test_the_number_of_a_paper_names_its_kind_year_and_subject() -> None:
    assert paper_no("deal-confirmation", ID, date(2022, 10, 21)) == f"成确〔2022〕{ID}号"


def test_a_receipt_says_nothing_of_what_is_sealed() -> None:
    assert set(BidReceipt.model_fields) == {
        "kind", "id", "paper_no", "issuer", "issued_on", "sale", "party",
        "version", "received_at", "commitment", "bid_sm3", "kid",
    }  # fmt: skip


def test_instants_are_said_in_the_city_s_own_time() -> None:
    assert b'"received_at":"2022-06-01T12:00:00.000123+08:00"' in said(a_receipt())
    assert NOON.hour == 4
