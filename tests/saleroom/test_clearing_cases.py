from dataclasses import replace
from datetime import timedelta

import pytest

from sale_builders import NINE, a_bid, got, seed_that_draws, terms
from saleroom.clearing import Clearing, Rejected, clear


class TestEuEts:
    """Domain §3.1: single round, sealed, uniform price, lowest accepted bid."""

    BIDS = (
        a_bid("B1", 4000, 82),
        a_bid("B2", 3000, 80),
        a_bid("B3", 3000, 79),
        a_bid("B4", 2000, 79),
        a_bid("B5", 5000, 78),
    )

    def clear(self, supply: int, *draw: str) -> Clearing:
        seed = seed_that_draws(*draw)
        rules = terms(supply, tie_rule="RANDOM", seed=seed, undersubscribed="CANCEL")
        return clear(rules, self.BIDS)

    def test_draw_order_b4_b3_leaves_b3_the_remainder(self) -> None:
        clearing = self.clear(10_000, "B4", "B3")
        assert list(got(clearing).items()) == [
            ("B1", 4000),
            ("B2", 3000),
            ("B4", 2000),
            ("B3", 1000),
        ]
        assert clearing.clearing_price_fen == 7900
        assert clearing.outcome == "SOLD"

    def test_draw_order_b3_b4_leaves_b4_nothing(self) -> None:
        clearing = self.clear(10_000, "B3", "B4")
        assert got(clearing) == {"B1": 4000, "B2": 3000, "B3": 3000}
        assert clearing.clearing_price_fen == 7900

    def test_demand_below_supply_cancels_the_sale(self) -> None:
        clearing = self.clear(18_000, "B3", "B4")
        assert clearing == Clearing("CANCELLED", None, 0, 18_000_000, (), (), 0)

    def test_demand_that_equals_supply_is_no_undersubscription(self) -> None:
        assert self.clear(17_000, "B3", "B4").outcome == "SOLD"

    def test_uk_variant_sells_part_at_the_lowest_bid(self) -> None:
        clearing = clear(terms(18_000), self.BIDS)
        assert clearing.outcome == "PARTLY_SOLD"
        assert clearing.clearing_price_fen == 7800
        assert (clearing.sold_minor, clearing.unsold_minor) == (17_000_000, 1_000_000)


class TestCalifornia:
    """Domain §3.2: floor, limits, pro-rata ties."""

    BIDS = (
        a_bid("A", 3000, 30),
        a_bid("B", 2500, 28),
        a_bid("C", 2500, 25),
        a_bid("D", 2500, 25),
        a_bid("E", 2500, 25),
    )

    def test_limit_trims_a_and_the_tie_is_shared_pro_rata_then_by_draw(self) -> None:
        # Draws C .61, D .17, E .42: the two units left go to D and E.
        clearing = clear(
            terms(
                10_000,
                tie_rule="PRO_RATA",
                purchase_limit_minor=2_500_000,
                seed=seed_that_draws("D", "E", "C"),
            ),
            self.BIDS,
        )
        assert got(clearing) == {"A": 2500, "B": 2500, "C": 1666, "D": 1667, "E": 1667}
        assert list(got(clearing)) == ["A", "B", "D", "E", "C"]
        assert clearing.clearing_price_fen == 2500
        assert clearing.proceeds_fen == 25_000_000
        assert clearing.outcome == "SOLD"

    def test_lowest_priced_lots_are_removed_first(self) -> None:
        own = [
            a_bid("high", 1000, 30, bidder="A"),
            a_bid("middle", 2000, 25, bidder="A"),
            a_bid("low", 4000, 18, bidder="A"),
        ]
        clearing = clear(terms(10_000, purchase_limit_minor=2_500_000), own)
        assert got(clearing) == {"high": 1000, "middle": 1500}
        assert clearing.rejected == (Rejected("low", "OVER_BID_LIMIT"),)

    def test_nothing_is_sold_below_the_reserve(self) -> None:
        clearing = clear(terms(10_000, floor_fen=2800), self.BIDS)
        assert got(clearing) == {"A": 3000, "B": 2500}
        assert clearing.rejected == tuple(Rejected(i, "BELOW_FLOOR") for i in "CDE")


class TestRggi:
    """Domain §3.3: uniform price at the highest rejected bid."""

    BIDS = (
        a_bid("A", 4000, "9.00"),
        a_bid("B", 3000, "8.50"),
        a_bid("C", 3000, "8.00"),
        a_bid("D", 2000, "7.60"),
    )

    @pytest.mark.parametrize(
        ("supply", "awards", "price_fen", "unsold"),
        [
            (10_000, {"A": 4000, "B": 3000, "C": 3000}, 760, 0),
            (9_000, {"A": 4000, "B": 3000, "C": 2000}, 800, 0),
            (13_000, {"A": 4000, "B": 3000, "C": 3000, "D": 2000}, 250, 1000),
        ],
    )
    def test_worked_case(
        self, supply: int, awards: dict[str, int], price_fen: int, unsold: int
    ) -> None:
        rules = terms(supply, floor_fen=250, price_rule="HIGHEST_REJECTED", lot_minor=1_000_000)
        clearing = clear(rules, self.BIDS)
        assert got(clearing) == awards
        assert clearing.clearing_price_fen == price_fen
        assert clearing.unsold_minor == unsold * 1000

    def test_the_eu_rule_would_give_8_00(self) -> None:
        assert clear(terms(10_000, floor_fen=250), self.BIDS).clearing_price_fen == 800


class TestChina:
    """Domain §3.4: uniform price, price then time."""

    BIDS = (
        a_bid("a", 100_000, 20, submitted_at=NINE + timedelta(minutes=31)),
        a_bid("b", 80_000, 18, submitted_at=NINE + timedelta(minutes=40)),
        a_bid("c", 90_000, 15, submitted_at=NINE + timedelta(minutes=35)),
        a_bid("d", 60_000, 15, submitted_at=NINE + timedelta(minutes=50)),
        a_bid("e", 40_000, 14, submitted_at=NINE + timedelta(minutes=30)),
    )
    TERMS = terms(300_000, floor_fen=1280, purchase_limit_minor=150_000_000)

    def test_the_marginal_bid_is_cut_to_the_remainder(self) -> None:
        clearing = clear(self.TERMS, self.BIDS)
        assert got(clearing) == {"a": 100_000, "b": 80_000, "c": 90_000, "d": 30_000}
        assert clearing.clearing_price_fen == 1500
        assert clearing.proceeds_fen == 450_000_000

    def test_pay_as_bid(self) -> None:
        clearing = clear(replace(self.TERMS, price_rule="PAY_AS_BID"), self.BIDS)
        assert clearing.clearing_price_fen is None
        assert [award.amount_fen for award in clearing.awards] == [
            200_000_000,
            144_000_000,
            135_000_000,
            45_000_000,
        ]
        assert clearing.proceeds_fen == 524_000_000

    def test_offer_above_demand_sells_all_at_the_lowest_bid(self) -> None:
        clearing = clear(self.TERMS, self.BIDS[:2])
        assert clearing.sold_minor == 180_000_000
        assert clearing.clearing_price_fen == 1800
        assert clearing.unsold_minor == 120_000_000
        assert clearing.outcome == "PARTLY_SOLD"

    def test_a_remainder_below_the_least_quantity_is_passed_on(self) -> None:
        a, b, c, d, e = self.BIDS
        choosy = replace(d, min_accept_minor=30_000_001)
        clearing = clear(self.TERMS, [a, b, c, choosy, e])
        assert got(clearing) == {"a": 100_000, "b": 80_000, "c": 90_000, "e": 30_000}
        assert clearing.clearing_price_fen == 1400
