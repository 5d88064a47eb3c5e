"""Thin async shells around the core: one loop per file."""
