"""Channels: the rules that find one for an arrival, from its address, referrer and campaign tags."""
