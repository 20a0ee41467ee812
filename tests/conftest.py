from brokers import broker, embedded_broker, kafka_node, kafka_servers
from databases import energy_house, gateway_house, gateway_toy, kit_house, migrated, pg_server, toy

__all__ = [
    "broker",
    "embedded_broker",
    "energy_house",
    "gateway_house",
    "gateway_toy",
    "kafka_node",
    "kafka_servers",
    "kit_house",
    "migrated",
    "pg_server",
    "toy",
]
