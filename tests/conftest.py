from brokers import broker, embedded_broker, kafka_node, kafka_servers

__all__ = ["broker", "embedded_broker", "kafka_node", "kafka_servers"]
