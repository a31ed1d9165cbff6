"""The demo: seeded traffic through the running product, and a ledger that must balance."""
