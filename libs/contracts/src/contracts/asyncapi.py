"""The AsyncAPI 3 description of the four wires, made from the same classes as everything else.

`python -m contracts.asyncapi FILE` writes it; a test holds the committed file to the classes.
"""

import json
import sys
from inspect import getdoc
from pathlib import Path
from typing import Any

from pydantic.json_schema import models_json_schema

from contracts.catalogue import MARKETS, facts_of
from marketkit.facts import Fact

PARTITIONS = 6
_TITLES = {"energy": "能耗指标", "emission": "排污权", "land": "土地指标", "gateway": "统一门户"}
_ENVELOPE_TEXTS = (
    "id", "source", "type", "subject", "time", "datacontenttype", "dataschema", "partitionkey",
    "actor", "regioncode", "policyversion",
)  # fmt: skip
_OPTIONAL = {"regioncode", "policyversion"}


def document() -> dict[str, Any]:
    """The whole description: a channel a market, a message an event."""
    classes = sorted({fact for market in MARKETS for fact in facts_of(market)}, key=_name)
    references, definitions = models_json_schema(
        [(fact, "serialization") for fact in classes],
        ref_template="#/components/schemas/{model}",
    )
    schemas = definitions.get("$defs", {})
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Yaosu 要素",
            "version": "1.0.0",
            "description": "各服务经Kafka相互告知的事实：CloudEvents 1.0结构化JSON原始字节。",
        },
        "defaultContentType": "application/cloudevents+json",
        "channels": {market: _channel(market) for market in MARKETS},
        "operations": {
            f"tell_{market}": {"action": "send", "channel": {"$ref": f"#/channels/{market}"}}
            for market in MARKETS
        },
        "components": {
            "messages": {
                fact.type_in(market): _message(
                    market, fact, references[(fact, "serialization")]["$ref"]
                )
                for market in MARKETS
                for fact in facts_of(market)
            },
            "messageTraits": {"placed": {"headers": _headers()}},
            "schemas": schemas,
        },
    }


def _name(fact: type[Fact]) -> str:
    return fact.__name__


def _channel(market: str) -> dict[str, Any]:
    names = [fact.type_in(market) for fact in facts_of(market)]
    return {
        "address": f"yaosu.{market}.v1",
        "title": _TITLES[market],
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in names},
        "bindings": {"kafka": {"partitions": PARTITIONS, "bindingVersion": "0.5.0"}},
    }


def _message(market: str, fact: type[Fact], data: str) -> dict[str, Any]:
    name = fact.type_in(market)
    said = (getdoc(fact) or "").split("\n")[0]
    # A class without words of its own would inherit those of every fact.
    summary = said if fact.__doc__ else ""
    properties: dict[str, Any] = {field: {"type": "string"} for field in _ENVELOPE_TEXTS}
    properties["type"] = {"const": name}
    return {
        "name": name,
        "title": f"{_TITLES[market]} {fact.kind}",
        **({"summary": summary} if summary else {}),
        "contentType": "application/cloudevents+json",
        "traits": [{"$ref": "#/components/messageTraits/placed"}],
        "payload": {
            "type": "object",
            "required": ["specversion", *sorted(set(_ENVELOPE_TEXTS) - _OPTIONAL), "data"],
            "properties": {
                "specversion": {"const": "1.0"},
                **properties,
                "data": {"$ref": data},
            },
        },
    }


def _headers() -> dict[str, Any]:
    texts = {
        "epoch": "服务数据库的第几世代",
        "sequence": "分区内的序号，自1起，无间断",
        "chain": "SM3(前一链值 ‖ 事件字节)",
        "mac": "HMAC-SM3，仅服务之间可核验",
    }
    return {
        "type": "object",
        "required": list(texts),
        "properties": {
            name: {"type": "string", "description": text} for name, text in texts.items()
        },
    }


def text() -> str:
    return json.dumps(document(), ensure_ascii=False, indent=1, sort_keys=True) + "\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(text(), "utf-8")
