"""What the worker of the gateway runs: a reader of each service."""

from typing import cast

from gateway.board.reactions import REACTIONS
from gateway.settings import Settings, UpstreamSettings
from marketkit.feed import Feed
from marketkit.identity import service_token
from marketkit.program import Parts
from marketkit.reader import Reader, reader_loops
from marketkit.worker import Loop


def loops(parts: Parts) -> list[Loop]:
    settings = cast(Settings, parts.settings)
    readers = [_reader(parts, market, at) for market, at in settings.upstreams.items()]
    return parts.standard_loops() + reader_loops(settings.kafka_servers, readers)


def _reader(parts: Parts, market: str, at: UpstreamSettings) -> Reader:
    def token() -> str:
        return service_token(parts.house.signer, parts.house.source)

    feed = Feed(at.source, f"yaosu.{market}.v1", at.inner, token)
    return Reader(
        parts.house, feed, REACTIONS, parts.mac_key, parts.verifier.public_keys(at.source)
    )
