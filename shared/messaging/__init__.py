"""Kafka and effects that happen once: consumer, dispatcher, unit of work, inbox, outbox."""
