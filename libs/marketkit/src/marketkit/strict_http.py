"""The HTTP parser of the house: httptools, with limits and deadlines below ASGI.

llhttp refuses what could be read in two ways (both lengths, two lengths); this adds what it
leaves open: how long a head may be and last, how long a body may pause, exactly one Host.
"""

import asyncio
import secrets
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from marketkit.errors import Refusal, Unreadable, problem
from marketkit.logs import log
from marketkit.signing import canonical

URL_BYTES_MAX = 8 * 1024
HEADERS_MAX = 64
HEADER_BYTES_MAX = 16 * 1024
HEAD_BYTES_MAX = 256 * 1024
HEAD_S_MAX = 4.0
BODY_PAUSE_S_MAX = 8.0
BODY_S_MAX = 60.0
# A line closed while its client still speaks is reset, and the answer lost with it.
LINGER_S = 1.0


class RequestTimedOut(Refusal):
    title = "请求未在规定时间内发送完毕"
    status = 408


class UrlTooLong(Refusal):
    title = "请求地址过长"
    status = 414


class HeadersTooLarge(Refusal):
    title = "请求头过大或过多"
    status = 431


class HostNotNamed(Unreadable):
    title = "请求须有且仅有一个Host"


class StrictHttp(HttpToolsProtocol):
    """One connection. A request that breaks a limit is answered once, and the connection ends."""

    _refusal: Refusal | None = None
    _timer: asyncio.TimerHandle | None = None
    _is_in_head = True
    _is_in_body = False
    _has_hung_up = False
    _unread_head_bytes = 0
    _head_bytes = 0
    _body_began = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        super().connection_made(transport)
        # Whoever connects must speak; a kept-alive connection has uvicorn's own timer.
        self._arm(HEAD_S_MAX)

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._has_hung_up:
            return
        # The parser tells a header when it is whole; an endless one must not be gathered so long.
        self._unread_head_bytes = self._unread_head_bytes + len(data) if self._is_in_head else 0
        if self._unread_head_bytes > HEAD_BYTES_MAX:
            self._answer(HeadersTooLarge())
        elif not self.transport.is_closing():
            super().data_received(data)

    def on_message_begin(self) -> None:
        self._head_bytes = 0
        self._is_in_head = True
        self._arm(HEAD_S_MAX)
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        if len(self.url) > URL_BYTES_MAX:
            self._refuse(UrlTooLong())

    def on_header(self, name: bytes, value: bytes) -> None:
        super().on_header(name, value)
        self._head_bytes += len(name) + len(value)
        if len(self.headers) > HEADERS_MAX or self._head_bytes > HEADER_BYTES_MAX:
            self._refuse(HeadersTooLarge())

    def on_headers_complete(self) -> None:
        names = [name for name, _ in self.headers]
        if names.count(b"host") != 1:
            self._refuse(HostNotNamed())
        if b"upgrade" in names:
            # The parser would take the body for another protocol's and drop it.
            self._refuse(Unreadable())
        self._is_in_head = False
        self._is_in_body = True
        self._unread_head_bytes = 0
        self._body_began = self.loop.time()
        self._arm(BODY_PAUSE_S_MAX)
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._arm(min(BODY_PAUSE_S_MAX, BODY_S_MAX - (self.loop.time() - self._body_began)))
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._is_in_body = False
        self._disarm()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._is_in_body:
            # Answered before the body was read: the rest of it is nobody's.
            self._hang_up()

    def send_400_response(self, msg: str) -> None:
        """Answer what the parser refused, or what one of the limits above did."""
        self._answer(self._refusal or Unreadable())

    def _refuse(self, refusal: Refusal) -> None:
        # Raised through the parser, which stops reading and calls send_400_response.
        self._refusal = refusal
        raise refusal

    def _answer(self, refusal: Refusal) -> None:
        if self.transport.is_closing() or self._has_hung_up:
            return
        trace_id = secrets.token_hex(16)
        log.info("request_unread", code=refusal.code, status=refusal.status, trace_id=trace_id)
        body = canonical(problem(refusal, trace_id))
        head: list[Any] = [
            STATUS_LINE[refusal.status],
            b"content-type: application/problem+json\r\nconnection: close\r\n",
            b"content-length: %d\r\n\r\n" % len(body),
        ]
        self.transport.write(b"".join([*head, body]))
        self._hang_up()

    def _hang_up(self) -> None:
        self._disarm()
        self._unset_keepalive_if_required()
        if self.transport.is_closing():
            return
        self._has_hung_up = True
        self.transport.resume_reading()
        self.transport.write_eof()
        self._timer = self.loop.call_later(LINGER_S, self.transport.close)

    def _arm(self, pause_s: float) -> None:
        self._disarm()
        self._timer = self.loop.call_later(max(pause_s, 0.0), self._timed_out)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _timed_out(self) -> None:
        if self.cycle is not None and self.cycle.response_started:
            self.transport.close()
        else:
            self._answer(RequestTimedOut())
