"""HTTP of money that belongs nowhere yet: listed, allocated, or sent back. Quiet, as all money."""

from fastapi import APIRouter, Response

from marketkit.doors import AskDep, CommandDep
from saleroom.allocations import actions
from saleroom.allocations.actions import AllocationIn, BankBookingOut, BankBookings
from saleroom.markets import Market
from saleroom.notices.routes import open_at_the_city

ONE = "/v1/bank-bookings/{booking_id}"


def routes(market: Market) -> APIRouter:
    router = APIRouter(tags=["quiet"])
    center = open_at_the_city("trading_center")

    @router.get("/v1/bank-bookings/unallocated", response_model=BankBookings, **center)
    async def list_unallocated(ask: AskDep) -> BankBookings:
        return await ask.run(actions.strays_of)

    @router.post(ONE + "/allocations", response_model=BankBookingOut, **center)
    async def allocate(booking_id: str, form: AllocationIn, command: CommandDep) -> Response:
        return await command.run(lambda s: actions.allocate(s, booking_id, form))

    @router.post(ONE + "/returns", response_model=BankBookingOut, **center)
    async def return_stray(booking_id: str, command: CommandDep) -> Response:
        return await command.run(lambda s: actions.return_stray(s, market, booking_id))

    return router
