"""Requests of an app today."""
