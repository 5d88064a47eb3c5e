"""Addresses of the management API that carry options."""

from azure.durable_functions._client.addresses import RpcManagementOptions

__all__ = ["RpcManagementOptions"]
