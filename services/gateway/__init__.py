"""HTTP → Kafka: authenticate, read, check, stamp, pack, publish, and answer after the broker's acknowledgement.

The way of a request, one module per stage:

    request_edge   request id, language, the envelope around every failure, metrics
    events_api     track, batch and validate: each names its stages in order; `segment_api` and `visitors` beside it
    admission      who asks: a key or an app's id, its quota and its budget
    bodies, decompression   the bytes, bounded while they come
    body_split     bytes → one raw event each; `event_borders` where no parser reads them
    validate       a raw event → `AcceptedEvent`, or why not
    whole_batch    a batch → accepted, where nothing in it gives reason to look at single events
    outcomes       a batch → accepted, duplicates, rejects
    intake         what is the same for all ways in, from the outcomes to the answer
    packing        events → one piece of NDJSON per partition
    publish        group commit per partition;  sink  Kafka, or memory
    forward        everything else, to the query service

Pure: `body_split`, `event_borders`, `event_fields`, `properties`, `validate`, `whole_batch`, `outcomes`, `packing`,
`privacy`, `segment`, `bots`.
"""
