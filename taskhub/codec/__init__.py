"""Bytes and rows to model and back, in the reference provider's layout; pure."""
