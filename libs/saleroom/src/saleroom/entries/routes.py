"""HTTP of entries. Only the officers who qualify and who book deposits see registrations."""

from fastapi import APIRouter, Response
from sqlmodel import col, select

from marketkit.db import Session
from marketkit.doors import AskDep, CommandDep, open_to
from marketkit.units import Form
from saleroom.entries import actions
from saleroom.entries.actions import (
    DepositIn,
    QualificationIn,
    RegistrationIn,
    RegistrationOut,
)
from saleroom.entries.rules import RegistrationUnknown
from saleroom.entries.tables import Deposit, Registration
from saleroom.markets import Market
from saleroom.notices.actions import SaleRef
from saleroom.notices.routes import open_at_the_city
from saleroom.notices.tables import Sale

ENTRIES = "/v1/sales/{sale_id}/registrations"


class Registrations(Form):
    items: list[RegistrationOut]


def routes(market: Market) -> APIRouter:
    router = APIRouter(tags=["quiet"])
    _add_enterprise(router, market)
    _add_officers(router, market)
    return router


def _add_enterprise(router: APIRouter, market: Market) -> None:
    enterprise = open_to("enterprise")

    @router.post(ENTRIES, status_code=201, response_model=RegistrationOut, **enterprise)
    async def register(sale_id: str, form: RegistrationIn, command: CommandDep) -> Response:
        caller = command.caller
        return await command.run(
            lambda s: actions.register(s, market, sale_id, caller, form),
            status=201,
            location="/v1/sales/{sale_id}/registration",
        )

    @router.post(
        ENTRIES + "/{registration_id}/withdrawals", response_model=RegistrationOut, **enterprise
    )
    async def withdraw_registration(
        sale_id: str, registration_id: str, command: CommandDep
    ) -> Response:
        caller = command.caller
        return await command.run(
            lambda s: actions.withdraw_registration(s, market, sale_id, registration_id, caller)
        )

    @router.get("/v1/sales/{sale_id}/registration", response_model=RegistrationOut, **enterprise)
    async def own_registration(sale_id: str, ask: AskDep) -> RegistrationOut:
        found = await ask.run(lambda s: _registrations(s, sale_id))
        if not found.items:
            raise RegistrationUnknown()
        return found.items[0]


def _add_officers(router: APIRouter, market: Market) -> None:
    center = open_at_the_city("trading_center")
    bureau = open_at_the_city("bureau_officer", department=market.department)
    both = open_at_the_city("trading_center", "bureau_officer", department=market.department)

    @router.get(ENTRIES, response_model=Registrations, **both)
    async def list_registrations(sale_id: str, ask: AskDep) -> Registrations:
        books = ask.caller is not None and "trading_center" in ask.caller.roles
        return await ask.run(lambda s: _registrations(s, sale_id, shows_account=books))

    @router.post(
        ENTRIES + "/{registration_id}/qualifications", response_model=RegistrationOut, **bureau
    )
    async def qualify(
        sale_id: str, registration_id: str, form: QualificationIn, command: CommandDep
    ) -> Response:
        return await command.run(
            lambda s: actions.qualify(s, market, sale_id, registration_id, form)
        )

    @router.post(ENTRIES + "/{registration_id}/deposits", response_model=RegistrationOut, **center)
    async def record_deposit(
        sale_id: str, registration_id: str, form: DepositIn, command: CommandDep
    ) -> Response:
        return await command.run(
            lambda s: actions.record_deposit(s, sale_id, registration_id, form)
        )

    @router.post("/v1/sales/{sale_id}/deposit-reconciliations", response_model=SaleRef, **center)
    async def reconcile_deposits(sale_id: str, command: CommandDep) -> Response:
        return await command.run(lambda s: actions.reconcile_deposits(s, sale_id))


async def _registrations(
    session: Session, sale_id: str, *, shows_account: bool = True
) -> Registrations:
    found = await session.exec(
        select(Sale, Registration, Deposit)
        .join(Registration, col(Registration.sale_id) == col(Sale.id))
        .join(Deposit, col(Deposit.registration_id) == col(Registration.id))
        .where(Sale.id == sale_id)
        .order_by(col(Registration.id))
    )
    items = [actions.out(*row, shows_account=shows_account) for row in found.all()]
    return Registrations(items=items)
