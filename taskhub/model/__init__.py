"""Frozen values of the task hub; no behaviour beyond their own invariants."""
