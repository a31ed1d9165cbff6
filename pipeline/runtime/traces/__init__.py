"""Traces: which way a request took, from its POST to its rows, and how long each step of it was.

    tracer      what our code sees: spans, and the `traceparent` that carries them from process to process
    otel        the same over OpenTelemetry's SDK, which is imported only where traces are on
    span_queue  spans on their way to the collector: few bytes, no waiting, what does not fit is dropped and counted
    metrics     what became of the spans

Off (`traces_endpoint` is empty), a process has no tracer: None. What it would do is behind that one question.
A single event costs a gateway 224 us with traces off, 269 with one request in a hundred, 545 with every one, the thread
that sends included (one run of `make bench ARGS=traces`, two quiet cores; such figures move by 10 to 20 %).
"""
