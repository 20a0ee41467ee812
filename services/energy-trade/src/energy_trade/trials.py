"""Which rules of energy quota can be tried, and those that are anyone's."""

from typing import Any

from energy_trade.accounts.rules import QuantityTceOrT
from energy_trade.coal_stocks.rules import days_of_coal
from energy_trade.policy import Asset, Policy, policy_on
from energy_trade.shutdowns.rules import split_shutdown
from marketkit.codes import check_uscc
from marketkit.trial import Trials
from marketkit.units import ASSET_UNITS, Form, QuantityTonne, QuantityTonneOrZero
from saleroom.trials import ClearingIn, clear_trial


class ShutdownSplitIn(Form):
    case: str
    asset: Asset
    quantity: QuantityTceOrT


class CoalStockIn(Form):
    stock_t: QuantityTonneOrZero
    daily_burn_t: QuantityTonne


class UsccIn(Form):
    code: str


def try_shutdown_split(form: ShutdownSplitIn, policy: Policy) -> dict[str, Any]:
    """`energy.shutdown_split`: who gets what of a shutdown, art. 4."""
    unit = ASSET_UNITS[form.asset]
    split = split_shutdown(form.case, form.asset, form.quantity, policy)
    return {
        "province": unit.format(split.province),
        "city": unit.format(split.city),
        "county": unit.format(split.county),
        "compensated": split.compensated,
        "usable_locally": split.usable_locally,
        "articles": [policy.shutdown_split.article],
    }


def try_coal_stock(form: CoalStockIn, policy: Policy) -> dict[str, Any]:
    """`energy.coal_stock`: how many days a plant's coal lasts, and which level that is, art. 7."""
    lasting = days_of_coal(form.stock_t, form.daily_burn_t, policy)
    articles = [policy.coal_stock.floor.article]
    return {"days": lasting.days, "level": lasting.level, "articles": articles}


def try_uscc(form: UsccIn, policy: Policy) -> dict[str, Any]:
    """`party.uscc`: whether a unified social credit code is well formed, and its region."""
    code = check_uscc(form.code)
    return {"valid": True, "region_code": code[2:8]}


TRIALS = Trials(policy_on)
TRIALS.add("energy.shutdown_split", ShutdownSplitIn, try_shutdown_split)
TRIALS.add("energy.coal_stock", CoalStockIn, try_coal_stock)
TRIALS.add("party.uscc", UsccIn, try_uscc)
TRIALS.add("sale.clearing", ClearingIn, clear_trial)
