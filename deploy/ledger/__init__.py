"""`attrikit ledger`: accepted = stored + duplicates, per app and hour, from counts that know nothing of each other."""
