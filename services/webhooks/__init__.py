"""Webhooks, Kafka → HTTP: every fact is delivered to every endpoint that wants it, signed, with an id that makes
repeats recognisable.

    conversions, attributions, alerts ──facts──▶ webhook-deliveries ──dispatch──▶ receivers
                                                   ▲        │ failed, put off        │
                                                   │        ▼                        ▼ every attempt
                                              webhook-retries (waiting)       webhook-attempts ──▶ ClickHouse

Pure: `payload` (what a receiver reads), `signature`, `ladder` (when again), `delays` (waiting in Kafka), `breaker`,
`pace`, `addresses` (where we never connect), `tracker` (what is done), `judge` (what an attempt's end means).
Edges: `facts`, `waiting`, `dispatch` (the three consumers), `lanes` (one endpoint's queue), `sender` (HTTP), `outbox`
(to Kafka), `standing` (to the control plane), `app` (puts them together).
"""
