"""HTTP → Kafka: authenticate, read, check, stamp, pack, publish, and answer after the broker's acknowledgement.

The way of a request, one module per stage:

    edge      request id, language, the envelope around every failure, metrics
    report    track, batch and validate: each names its stages in order
    auth      whose key                       bodies, inflate   the bytes, bounded while they come
    parse     bytes → one raw event each      validate          a raw event → AcceptedEvent, or why not
    at_once   a whole batch → accepted, where nothing in it gives reason to look at single events
    judge     a whole batch → accepted, duplicates, rejects     pack   events → one piece of NDJSON per partition
    publish   group commit per partition      sink              Kafka, or memory
    forward   everything else, to the query service

`parse`, `fields`, `properties`, `validate`, `at_once`, `judge`, `pack`, `envelope`, `auth` and `agents` are pure.
"""
