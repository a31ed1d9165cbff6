"""Conversions: goals, counting, restatement, orders, refunds, and what expires."""
