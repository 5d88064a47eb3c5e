"""Helpers at the paths where the reference has them."""
