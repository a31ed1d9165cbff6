"""Sums that `/attribution` and the reports share: parts of one statement, counted conversions, credit."""
