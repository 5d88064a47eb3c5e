"""JSON with the rule for custom classes: what activities, orchestrators, entities and clients exchange."""

from azure.durable_functions._serialization import df_dumps, df_loads

__all__ = ["df_dumps", "df_loads"]
