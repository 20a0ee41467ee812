import structlog

import machines
from brokers import broker, embedded_broker, kafka_node, kafka_servers
from databases import energy_house, gateway_house, gateway_toy, kit_house, migrated, pg_server, toy
from evidence_files import evidence
from toys import readers

__all__ = [
    "broker",
    "embedded_broker",
    "energy_house",
    "evidence",
    "gateway_house",
    "gateway_toy",
    "kafka_node",
    "kafka_servers",
    "kit_house",
    "machines",
    "migrated",
    "pg_server",
    "readers",
    "toy",
]

# Plain lines: the default draws a stack with all its values, ten seconds for one of ours.
structlog.configure(
    processors=[
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.format_exc_info,
        structlog.processors.KeyValueRenderer(key_order=["event"]),
    ]
)
