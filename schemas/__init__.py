"""The contracts between the rooms: what stands on a wire or in a table. Pure: no I/O, no clock, no randomness."""
