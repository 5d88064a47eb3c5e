"""Names and defaults that apps, tools and the host share with this package."""

from __future__ import annotations

DEFAULT_LOCAL_HOST = "localhost:7071"
DEFAULT_LOCAL_ORIGIN = f"http://{DEFAULT_LOCAL_HOST}"
DATETIME_STRING_FORMAT = "%Y-%m-%dT%H:%M:%S.%fZ"
HTTP_ACTION_NAME = "BuiltIn::HttpActivity"
ORCHESTRATION_TRIGGER = "orchestrationTrigger"
ACTIVITY_TRIGGER = "activityTrigger"
ENTITY_TRIGGER = "entityTrigger"
DURABLE_CLIENT = "durableClient"
