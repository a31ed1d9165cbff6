"""Webhooks, Kafka → HTTP: every fact is delivered to every endpoint that wants it, signed, with an id that makes
repeats recognisable.

    conversions, attributions, alerts ──facts──▶ webhook-deliveries ──dispatcher──▶ receivers
                                                   ▲        │ failed, put off        │
                                                   │        ▼                        ▼ every attempt
                                              webhook-retries (retry_queue)    webhook-attempts ──▶ ClickHouse

Pure: `payload` (what a receiver reads), `signature`, `test_message`, `retry_schedule` (when the next attempt is),
`delay_queue` (delays in Kafka), `circuit_breaker`, `rate_limiter`, `addresses` (where we never connect),
`delivery_progress` (which offset can be committed), `attempt_outcome` (what follows from an attempt).

Edges: `facts`, `retry_queue`, `dispatcher` (the three consumers), `endpoints` (which are active), `endpoint_queue` (one
endpoint's deliveries in memory), `attempts` (sign, send, conclude), `outcome_writer` (to Kafka), `sender` (HTTP),
`endpoint_health` (to the control plane), `app` (puts them together).
"""
