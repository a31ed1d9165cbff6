"""Kafka → ClickHouse. `blocks` and `rejects` decide, `store` inserts, `reader` reads and commits, `app` orders them."""
