"""HTTP of the bank's files: taken in, applied in batches, answered line by line.

Quiet: before an opening nobody but who books money may learn how many have paid.
"""

import asyncio
from collections.abc import Sequence

from fastapi import APIRouter, Response
from sqlalchemy.exc import DBAPIError

from marketkit.batch import LATER
from marketkit.db import Database, sqlstate
from marketkit.doors import AskDep, UploadDep, open_to
from marketkit.logs import log
from marketkit.signing import sm3
from saleroom.exports import CSV, SHEETS, XLSX, csv_bytes, download, xlsx_bytes
from saleroom.markets import Market
from saleroom.notices.routes import open_at_the_city
from saleroom.sheets import read_sheet
from saleroom.statements import actions
from saleroom.statements.actions import LINES_MAX, BankFileOut, Numbered, Verdicts
from saleroom.statements.rules import HEADER, columns_of, is_blank, line_of

FILES = "/v1/bank-files"
WAIT_S = 2.0
PATIENCE_S = 60.0
# A twin with the same serial is in the middle of its transaction, or has just ended it.
_AGAIN = LATER | {"23505"}
_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            kind: {"schema": {"type": "string", "format": "binary"}} for kind in ("text/csv", XLSX)
        },
    }
}


class Teller:
    """Reads and applies files, at most two at once; who waits no longer does not stop it."""

    def __init__(self) -> None:
        self._desks = asyncio.Semaphore(2)
        self._places = asyncio.Semaphore(2)
        self._running: set[asyncio.Task[None]] = set()

    async def read(self, body: bytes) -> list[Numbered]:
        """The lines of a file.

        Raises:
            SheetUnreadable, SheetTooLarge, Busy: as `read_sheet`.
            HeaderWrong: its first row is not the template's.
        """
        async with self._desks:
            rows = await read_sheet(body)
        columns = columns_of(rows[0] if rows else [])
        return [
            Numbered(row, line_of(cells, columns))
            for row, cells in enumerate(rows[1:], 2)
            if not is_blank(cells)
        ]

    async def apply(
        self, house: Database, actor: str, digest: str, lines: Sequence[Numbered]
    ) -> None:
        """Apply all lines; after two seconds go on with it while the caller is answered.

        What a crash leaves undone, the same file sent again finishes.
        """
        task = asyncio.create_task(self._apply(house, actor, digest, lines))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        await asyncio.wait({task}, timeout=WAIT_S)

    async def _apply(
        self, house: Database, actor: str, digest: str, lines: Sequence[Numbered]
    ) -> None:
        async with self._places:
            for first in range(0, len(lines), LINES_MAX):
                batch = lines[first : first + LINES_MAX]
                try:
                    await _patiently(house, actor, digest, batch)
                except DBAPIError as error:
                    log.error("bank_file_stopped", exc_info=error)
                    return


async def _patiently(house: Database, actor: str, digest: str, batch: Sequence[Numbered]) -> None:
    clock = asyncio.get_running_loop().time
    until_s = clock() + PATIENCE_S
    while True:
        try:
            await house.run(lambda s: actions.apply_lines(s, digest, batch), actor=actor)
            return
        except DBAPIError as error:
            if sqlstate(error) not in _AGAIN or clock() > until_s:
                raise
        await asyncio.sleep(0.05)


def routes(market: Market) -> APIRouter:
    router = APIRouter(tags=["quiet"])
    teller = Teller()
    center = open_at_the_city("trading_center")
    center["openapi_extra"] |= _BODY

    @router.post(FILES, status_code=202, response_model=BankFileOut, tags=["upload"], **center)
    async def receive_bank_file(upload: UploadDep) -> Response:
        command, digest = upload.command, sm3(upload.body).hex()
        lines = await teller.read(upload.body)
        answer = await command.run(
            lambda s: actions.keep_file(s, digest, upload.body, len(lines)),
            status=202,
            location=FILES + "/{sm3}",
        )
        if answer.status_code == 202:
            await teller.apply(command.house, command.caller.sub, digest, lines)
        return answer

    _add_reads(router)
    return router


def _add_reads(router: APIRouter) -> None:
    center = open_at_the_city("trading_center")
    anyone = open_to("anyone")

    @router.get(FILES + "/template.xlsx", response_class=Response, responses=SHEETS, **anyone)
    async def bank_file_template() -> Response:
        return Response(xlsx_bytes([list(HEADER)]), 200, download("bank-file.xlsx"), XLSX)

    @router.get(FILES + "/template.csv", response_class=Response, responses=SHEETS, **anyone)
    async def bank_file_template_csv() -> Response:
        body = csv_bytes([list(HEADER)])
        return Response(body, 200, download("bank-file.csv"), CSV["utf-8"])

    @router.get(FILES, response_model=actions.BankFiles, **center)
    async def list_bank_files(ask: AskDep) -> actions.BankFiles:
        return await ask.run(actions.files_of)

    @router.get(FILES + "/{sm3}", response_model=Verdicts, **center)
    async def show_bank_file(sm3: str, ask: AskDep) -> Verdicts:
        return await ask.run(lambda s: actions.verdicts_of(s, sm3))
