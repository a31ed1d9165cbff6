"""Plumbing without a business word: settings, clock, log, metrics, Kafka, ClickHouse, control-plane reads."""
