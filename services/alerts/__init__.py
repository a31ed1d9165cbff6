"""Threshold alerts: metrics of rules are measured in ClickHouse, window by window, and the resulting alerts are written
to `alerts`.

Why here and not among the stream's agents: a window is about an app, whose people are on every partition, and about
events that count once, conversions that were restated, money less refunds. That is what the tables hold. So an alert's
number is the number the reports show at that moment, and a rule costs one query a window, not a count per event.
"""
