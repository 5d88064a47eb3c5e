"""What an app imported of the packages ``azurefunctions-extensions-*``, and which annotations are theirs.

The host brings none of them: an app that uses one has it in its environment, together with the package that all of them
share, where they register themselves when they are imported.

Source: azurefunctions-extensions-base; Azure Functions Python worker, http_v2.py and bindings/meta.py.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from azure.functions.meta import Datum

from taskhub.host.functions import BLOB, BLOB_TRIGGER
from taskhub.wiring import DEFAULT_SETTING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from taskhub.host.functions import Binding

_BASE = "azurefunctions.extensions.base"
_CLIENTS_OF = {BLOB: "blob", BLOB_TRIGGER: "blobTrigger"}
"""Bindings that can give a client of the service, by their names in the extensions."""


def extensions() -> Any | None:
    """Return the package that all of them share, ``None`` when the app has imported none."""
    return sys.modules.get(_BASE)


def takes_web_request(hint: Any) -> bool:
    """Return whether the parameter of an HTTP trigger gets the request of a web framework.

    Where an extension for one was imported, a parameter without annotation does, too.

    Args:
        hint: the annotation, ``None`` when there is none.
    """
    base = extensions()
    if base is None or not base.HttpV2FeatureChecker.http_v2_enabled():
        return False
    return hint is None or bool(base.RequestTrackerMeta.check_type(hint))


# ---- clients of a service in place of content


@dataclass(frozen=True, slots=True)
class ModelBindingData:
    """What names the object of a service that a client is for."""

    version: str
    source: str
    content_type: str
    content: bytes
    """JSON."""


def client_decoder(binding: Binding, hint: Any) -> Callable[[Datum, Mapping[str, Datum]], Any] | None:
    """Return what makes the client that an annotation asks for, ``None`` when it asks for none.

    Args:
        binding: of the parameter.
        hint: the annotation.
    """
    base = extensions()
    if base is None or binding.kind not in _CLIENTS_OF:
        return None
    registry = base.get_binding_registry()
    converter = registry.get(_CLIENTS_OF[binding.kind])
    is_client = isinstance(hint, type) and registry.check_supported_type(hint)
    if converter is None or not is_client or not converter.check_input_type_annotation(hint):
        return None
    return lambda datum, metadata: converter.decode(datum, trigger_metadata=metadata, pytype=hint)


def blob_client_datum(binding: Binding, container: str, blob: str) -> Datum:
    """Return what the client of a blob is made of."""
    named = {
        "Connection": binding.properties.get("connection") or DEFAULT_SETTING,
        "ContainerName": container,
        "BlobName": blob,
    }
    data = ModelBindingData("1.0", "AzureStorageBlobs", "application/json", json.dumps(named).encode())
    return Datum(data, "model_binding_data")
