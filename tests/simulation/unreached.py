"""Why some lines are reached by no simulated run; by module, or by function as ``module:Class.function``."""

from __future__ import annotations

UNREACHED: dict[str, str] = {}
