"""Touches: contacts that may earn credit."""
