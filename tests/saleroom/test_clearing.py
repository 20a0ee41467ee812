from datetime import timedelta, timezone
from hashlib import sha256
from typing import Any

import pytest

from marketkit.units import MU
from sale_builders import NINE, a_bid, got, seed_that_draws, terms
from saleroom.clearing import Clearing, Rejected, clear


class TestSupply:
    def test_is_cut_to_whole_lots_and_the_cut_part_is_unsold(self) -> None:
        rules = terms(0, supply_minor=10_500)
        clearing = clear(rules, [a_bid("a", 20, 2)])
        assert (clearing.sold_minor, clearing.unsold_minor) == (10_000, 500)
        assert clearing.outcome == "PARTLY_SOLD"

    def test_is_compared_with_demand_in_whole_lots(self) -> None:
        rules = terms(0, supply_minor=10_999, undersubscribed="CANCEL")
        assert clear(rules, [a_bid("a", 10, 2)]).outcome == "PARTLY_SOLD"
        assert clear(rules, [a_bid("a", 9, 2)]).outcome == "CANCELLED"

    def test_below_one_lot_sells_nothing(self) -> None:
        rules = terms(0, supply_minor=999, undersubscribed="CANCEL")
        assert clear(rules, [a_bid("a", 1, 2)]) == Clearing("FAILED", None, 0, 999, (), (), 0)

    @pytest.mark.parametrize("undersubscribed", ["SELL", "CANCEL"])
    def test_no_bid_left_is_failed_even_where_demand_would_cancel(
        self, undersubscribed: Any
    ) -> None:
        rules = terms(10, floor_fen=300, undersubscribed=undersubscribed)
        for bids in ([], [a_bid("a", 20, 2)]):
            clearing = clear(rules, bids)
            assert clearing.outcome == "FAILED"
            assert clearing.clearing_price_fen is None
            assert clearing.unsold_minor == 10_000

    def test_is_failed_where_every_bid_is_skipped(self) -> None:
        choosy = [a_bid(i, 20, 2, min_accept_minor=15_000) for i in "ab"]
        clearing = clear(terms(10, price_rule="HIGHEST_REJECTED"), choosy)
        assert clearing == Clearing("FAILED", None, 0, 10_000, (), (), 0)

    def test_a_cancelled_sale_still_says_what_was_rejected(self) -> None:
        rules = terms(10, undersubscribed="CANCEL")
        clearing = clear(rules, [a_bid("a", 1, 2), a_bid("low", 20, "0.99")])
        assert clearing.outcome == "CANCELLED"
        assert clearing.rejected == (Rejected("low", "BELOW_FLOOR"),)


class TestRejection:
    def test_at_the_floor_is_no_rejection(self) -> None:
        clearing = clear(terms(10), [a_bid("at", 1, 1), a_bid("under", 1, "0.99")])
        assert got(clearing) == {"at": 1}
        assert clearing.rejected == (Rejected("under", "BELOW_FLOOR"),)

    def test_a_part_of_a_lot_is_off_lot(self) -> None:
        rules = terms(100, lot_minor=5_000)
        bids = [a_bid("five", 5, 2), a_bid("seven", 7, 2), a_bid("three", 3, 2)]
        clearing = clear(rules, bids)
        assert got(clearing) == {"five": 5}
        assert [bid.code for bid in clearing.rejected] == ["OFF_LOT", "OFF_LOT"]

    def test_the_floor_is_tested_before_the_lot(self) -> None:
        clearing = clear(terms(10), [a_bid("both", 1, "0.50", quantity_minor=1_500)])
        assert clearing.rejected == (Rejected("both", "BELOW_FLOOR"),)

    def test_a_rejected_bid_sets_no_price_and_uses_no_limit(self) -> None:
        rules = terms(10, price_rule="HIGHEST_REJECTED", purchase_limit_minor=4_000)
        bids = [
            a_bid("off", 0, 9, quantity_minor=3_500, bidder="u"),
            a_bid("good", 4, 5, bidder="u"),
        ]
        clearing = clear(rules, bids)
        assert got(clearing) == {"good": 4}
        assert clearing.clearing_price_fen == 100

    def test_rejections_stand_in_the_order_given(self) -> None:
        bids = [a_bid("z", 1, "0.10"), a_bid("m", 9, 2), a_bid("a", 0, 2, quantity_minor=1)]
        clearing = clear(terms(10, limits_minor={"m": 0}), bids)
        assert clearing.rejected == (
            Rejected("z", "BELOW_FLOOR"),
            Rejected("m", "OVER_BID_LIMIT"),
            Rejected("a", "OFF_LOT"),
        )


class TestLimit:
    def test_is_rounded_down_to_whole_lots(self) -> None:
        rules = terms(100, lot_minor=5_000, purchase_limit_minor=14_999)
        assert got(clear(rules, [a_bid("a", 50, 2)])) == {"a": 10}

    def test_below_one_lot_rejects_everything(self) -> None:
        clearing = clear(terms(10, purchase_limit_minor=999), [a_bid("a", 1, 2)])
        assert clearing.outcome == "FAILED"
        assert clearing.rejected == (Rejected("a", "OVER_BID_LIMIT"),)

    def test_holds_for_a_bidder_and_not_for_a_bid(self) -> None:
        bids = [a_bid("a1", 4, 3, bidder="a"), a_bid("a2", 4, 2, bidder="a"), a_bid("b", 6, 2)]
        clearing = clear(terms(100, purchase_limit_minor=6_000), bids)
        assert got(clearing) == {"a1": 4, "a2": 2, "b": 6}
        assert clearing.rejected == ()

    def test_exactly_reached_cuts_nothing(self) -> None:
        bids = [a_bid("a1", 4, 3, bidder="a"), a_bid("a2", 2, 2, bidder="a")]
        assert got(clear(terms(100, purchase_limit_minor=6_000), bids)) == {"a1": 4, "a2": 2}

    def test_at_equal_prices_the_latest_bid_goes_first_then_the_greater_id(self) -> None:
        later = NINE + timedelta(microseconds=1)
        bids = [
            a_bid("a", 4, 2, bidder="u", submitted_at=later),
            a_bid("b", 4, 2, bidder="u"),
            a_bid("c", 4, 2, bidder="u"),
        ]
        for limit, kept in ((10, {"a": 2, "b": 4, "c": 4}), (6, {"b": 4, "c": 2})):
            clearing = clear(terms(100, purchase_limit_minor=limit * 1000), bids)
            assert got(clearing) == kept

    def test_the_latest_bid_goes_first_whatever_the_draw_says(self) -> None:
        later = NINE + timedelta(seconds=1)
        bids = [a_bid("a", 4, 2, bidder="u", submitted_at=later), a_bid("b", 4, 2, bidder="u")]
        seed = seed_that_draws("a", "b")
        rules = terms(100, tie_rule="RANDOM", seed=seed, purchase_limit_minor=4_000)
        assert got(clear(rules, bids)) == {"b": 4}

    def test_less_left_than_the_least_quantity_rejects_and_returns_nothing(self) -> None:
        bids = [
            a_bid("high", 4, 3, bidder="u"),
            a_bid("middle", 4, 2, bidder="u", min_accept_minor=3_000),
            a_bid("low", 2, "1.50", bidder="u"),
        ]
        clearing = clear(terms(100, purchase_limit_minor=6_000), bids)
        assert got(clearing) == {"high": 4}
        assert clearing.rejected == (
            Rejected("middle", "OVER_BID_LIMIT"),
            Rejected("low", "OVER_BID_LIMIT"),
        )

    def test_what_is_left_may_equal_the_least_quantity(self) -> None:
        bid = a_bid("a", 4, 3, min_accept_minor=3_000)
        assert got(clear(terms(100, purchase_limit_minor=3_000), [bid])) == {"a": 3}

    def test_what_is_left_counts_as_the_bid(self) -> None:
        # Cut to the limit and served in full: no rejected bid, so the floor is the price.
        rules = terms(100, price_rule="HIGHEST_REJECTED", purchase_limit_minor=3_000)
        assert clear(rules, [a_bid("a", 4, 3)]).clearing_price_fen == 100

    def test_demand_is_counted_after_it(self) -> None:
        rules = terms(5, undersubscribed="CANCEL", purchase_limit_minor=4_000)
        assert clear(rules, [a_bid("a", 10, 2)]).outcome == "CANCELLED"

    def test_the_registered_most_quantity_cuts_alike_and_the_least_decides(self) -> None:
        bids = [a_bid("a", 10, 3), a_bid("b", 10, 2), a_bid("c", 10, 2)]
        rules = terms(100, purchase_limit_minor=6_000, limits_minor={"a": 4_999, "b": 8_000})
        assert got(clear(rules, bids)) == {"a": 4, "b": 6, "c": 6}
        rules = terms(100, limits_minor={"a": 4_999})
        assert got(clear(rules, bids)) == {"a": 4, "b": 10, "c": 10}


class TestTies:
    def test_time_then_bid_id(self) -> None:
        early = NINE - timedelta(microseconds=1)
        bids = [a_bid("b", 4, 2), a_bid("a", 4, 2), a_bid("z", 4, 2, submitted_at=early)]
        assert list(got(clear(terms(10), bids)).items()) == [("z", 4), ("a", 4), ("b", 2)]

    def test_instants_are_compared_as_instants(self) -> None:
        in_shanghai = NINE.astimezone(timezone(timedelta(hours=8)))
        bids = [a_bid("b", 4, 2, submitted_at=in_shanghai), a_bid("a", 4, 2)]
        assert got(clear(terms(4), bids)) == {"a": 4}

    def test_price_goes_before_time(self) -> None:
        bids = [a_bid("first", 4, 2), a_bid("late", 4, 3, submitted_at=NINE + timedelta(days=1))]
        assert got(clear(terms(4), bids)) == {"late": 4}

    def test_random_is_by_sha256_of_seed_and_id_in_utf_8(self) -> None:
        bids = [a_bid(bid_id, 1, 2) for bid_id in ("甲", "乙", "丙", "丁")]
        seed = bytes.fromhex("00ff")
        order = sorted(("甲", "乙", "丙", "丁"), key=lambda i: sha256(seed + i.encode()).digest())
        clearing = clear(terms(10, tie_rule="RANDOM", seed=seed), bids)
        assert list(got(clearing)) == order
        assert order != ["甲", "乙", "丙", "丁"]

    def test_pro_rata_serves_a_level_that_fits_in_full(self) -> None:
        bids = [a_bid("a", 3, 3), a_bid("b", 3, 3), a_bid("c", 9, 2), a_bid("d", 1, 2)]
        clearing = clear(terms(9, tie_rule="PRO_RATA"), bids)
        shared = got(clearing)
        assert (shared["a"], shared["b"]) == (3, 3)
        # 2.7 and 0.3 of three: floors 2 and 0, the lot left over by draw.
        first = min("cd", key=lambda i: sha256(i.encode()).digest())
        assert {i: shared.get(i, 0) for i in "cd"} == {"c": 2 + (first == "c"), "d": first == "d"}

    def test_pro_rata_shares_whole_lots_by_the_draw(self) -> None:
        rules = terms(20, tie_rule="PRO_RATA", lot_minor=5_000, seed=seed_that_draws("c", "a", "b"))
        bids = [a_bid(bid_id, 10, 2) for bid_id in "abc"]
        clearing = clear(rules, bids)
        assert list(got(clearing).items()) == [("c", 10), ("a", 5), ("b", 5)]

    def test_pro_rata_gives_nobody_more_than_its_bid(self) -> None:
        bids = [a_bid("small", 1, 2), a_bid("great", 1000, 2)]
        for first, second in (("small", "great"), ("great", "small")):
            seed = seed_that_draws(first, second)
            clearing = clear(terms(1000, tie_rule="PRO_RATA", seed=seed), bids)
            assert got(clearing).get("small", 0) <= 1
            assert clearing.sold_minor == 1_000_000

    def test_pro_rata_with_nothing_left_rejects_the_level(self) -> None:
        bids = [a_bid("a", 4, 3), a_bid("b", 4, 2)]
        clearing = clear(terms(4, tie_rule="PRO_RATA", price_rule="HIGHEST_REJECTED"), bids)
        assert got(clearing) == {"a": 4}
        assert clearing.clearing_price_fen == 200


class TestLeastQuantity:
    def test_the_remainder_may_equal_it(self) -> None:
        bids = [a_bid("a", 6, 3), a_bid("b", 6, 2, min_accept_minor=4_000)]
        assert got(clear(terms(10), bids)) == {"a": 6, "b": 4}

    def test_several_may_be_skipped_and_what_fits_behind_them_is_filled(self) -> None:
        bids = [
            a_bid("a", 6, 5),
            a_bid("b", 6, 4, min_accept_minor=5_000),
            a_bid("c", 5, 3, min_accept_minor=5_000),
            a_bid("d", 1, "2.50", min_accept_minor=1_000),
            a_bid("e", 6, 2, min_accept_minor=3_000),
        ]
        clearing = clear(terms(10), bids)
        assert got(clearing) == {"a": 6, "d": 1, "e": 3}
        assert clearing.clearing_price_fen == 200

    def test_a_skipped_bid_sets_no_highest_rejected_price(self) -> None:
        bids = [
            a_bid("a", 6, 5),
            a_bid("b", 6, 4, min_accept_minor=5_000),
            a_bid("c", 4, 3),
            a_bid("d", 4, 2),
        ]
        rules = terms(10, price_rule="HIGHEST_REJECTED")
        assert clear(rules, bids).clearing_price_fen == 200
        assert clear(rules, bids[:3]).clearing_price_fen == 100

    def test_a_bid_behind_the_end_of_the_supply_is_rejected_and_not_skipped(self) -> None:
        bids = [a_bid("a", 10, 5), a_bid("b", 6, 4, min_accept_minor=5_000)]
        assert clear(terms(10, price_rule="HIGHEST_REJECTED"), bids).clearing_price_fen == 400

    def test_need_not_be_whole_lots(self) -> None:
        bids = [a_bid("a", 6, 3), a_bid("b", 6, 2, min_accept_minor=3_999)]
        assert got(clear(terms(10), bids)) == {"a": 6, "b": 4}


class TestMoney:
    def test_is_rounded_half_up_once_per_award(self) -> None:
        rules = terms(0, supply_minor=10, lot_minor=1, floor_fen=1)
        bids = [a_bid(i, 0, "2.50", quantity_minor=2) for i in "ab"]
        clearing = clear(rules, bids)
        assert [award.amount_fen for award in clearing.awards] == [1, 1]
        assert clearing.proceeds_fen == 2

    def test_is_of_the_clearing_price_times_the_quantity_in_its_unit(self) -> None:
        rules = terms(0, supply_minor=123_456, lot_minor=1, unit=MU)
        clearing = clear(rules, [a_bid("a", 0, "7.77", quantity_minor=123_456)])
        assert clearing.proceeds_fen == 9593
