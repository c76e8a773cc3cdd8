"""Kafka: topics, producing in whole batches, consuming in whole batches."""
