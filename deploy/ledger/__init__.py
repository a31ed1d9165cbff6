"""`attrikit ledger`: check that accepted = stored + duplicates, per app and hour, from independent counts."""
