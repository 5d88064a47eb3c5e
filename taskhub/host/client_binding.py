"""The text that a durable client binding receives: where the management API of which hub is reached."""

from __future__ import annotations

import dataclasses
import functools
from typing import TYPE_CHECKING, Any

from azure.functions.meta import Datum

from taskhub.host import routes
from taskhub.host.configuration import resolve_settings
from taskhub.host.durable_options import DEFAULT_CONNECTION, DEFAULT_CONNECTION_ALIAS
from taskhub.host.functions import DURABLE_CLIENTS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from taskhub.host.call_plan import CallPlan
    from taskhub.host.configuration import HostConfiguration
    from taskhub.host.durable_options import DurableOptions
    from taskhub.host.http_keys import KeyStore


def client_payload(
    configuration: HostConfiguration,
    base: str,
    *,
    rpc_port: int | None,
    keys: KeyStore | None = None,
    speaks_grpc: bool = False,
) -> Callable[[Mapping[str, Any]], str]:
    """Return what makes the text from the properties of a binding.

    Args:
        configuration: of the app.
        base: URL of the management API, as others reach it.
        rpc_port: of the loopback door, ``None`` when there is none.
        keys: where the key of the management API is; ``None`` when it asks for none.
        speaks_grpc: whether clients of the app speak gRPC.
    """
    durable, settings = configuration.durable, configuration.settings
    alias = DEFAULT_CONNECTION_ALIAS if durable.connection == DEFAULT_CONNECTION else durable.connection
    urls = routes.Urls(base, durable.hub.hub_name, alias)
    door = f"http://127.0.0.1:{rpc_port}" + ("" if speaks_grpc else f"{routes.RPC_PATH}/")
    rpc = None if rpc_port is None else door
    grpc = _grpc_fields(durable, base) if speaks_grpc else None

    @functools.lru_cache(maxsize=64)
    def payload(hub: str | None, connection: str | None, code: str) -> str:
        return dataclasses.replace(urls, code=code).client_payload(rpc, hub, connection, grpc)

    def of_binding(properties: Mapping[str, Any]) -> str:
        hub = properties.get("taskhub")
        connection = properties.get("connectionname") or None
        return payload(
            resolve_settings(hub, settings) if hub else None, connection, keys.durable_code() if keys else ""
        )

    return of_binding


def _grpc_fields(durable: DurableOptions, base: str) -> Mapping[str, object]:
    minutes, seconds = divmod(int(durable.grpc.timeout_seconds), 60)
    return {
        "httpBaseUrl": base,
        "useForwardedHost": durable.use_forwarded_host,
        "maxGrpcMessageSizeInBytes": durable.grpc.max_message_bytes,
        "grpcHttpClientTimeout": f"{minutes // 60:02}:{minutes % 60:02}:{seconds:02}",
    }


def bound_data(plan: CallPlan, trigger: Datum, client_payload: Callable[[Mapping[str, Any]], str]) -> dict[str, Datum]:
    """Return the data of a function's bindings, without what has to be read from storage first.

    Args:
        plan: of the function.
        trigger: what its trigger receives.
        client_payload: makes the text of a durable client binding from its properties.
    """
    data = {}
    for name, item in plan.inputs.items():
        if item.binding.is_trigger:
            data[name] = trigger
        elif item.binding.kind in DURABLE_CLIENTS:
            data[name] = Datum(client_payload(item.binding.properties), "string")
    return data
