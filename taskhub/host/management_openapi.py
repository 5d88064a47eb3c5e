"""PURE: an OpenAPI 3.1 description of the management API, made out of tables.

It is served at ``openapi.json`` of either door, and a test lets a fuzzer hold the API to it.
"""

from __future__ import annotations

import functools
import json
from typing import TYPE_CHECKING, Any

from taskhub.model.instance import RuntimeStatus

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    Schema = Mapping[str, Any]


@functools.lru_cache(maxsize=8)
def openapi_text(base: str) -> str:
    """Return the description as JSON; ``base`` is the URL of the API."""
    return json.dumps(openapi(base), separators=(",", ":"), ensure_ascii=False)


def openapi(base: str) -> dict[str, Any]:
    """Return the description of the API at a URL."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Durable Task management API",
            "version": "3.15",
            "description": "Starts, shows and steers orchestrations and entities of a task hub. The same routes as "
            "those of the Durable Task extension for Azure Functions, of the version named.",
        },
        "servers": [{"url": base}],
        "security": [{"code": []}, {"header": []}, {}],
        "paths": _paths(),
        "components": {
            "schemas": _SCHEMAS,
            "securitySchemes": {
                "code": {"type": "apiKey", "in": "query", "name": "code", "description": _KEY},
                "header": {"type": "apiKey", "in": "header", "name": "x-functions-key", "description": _KEY},
            },
        },
    }


_KEY = "System key 'durabletask_extension' or master key; needed only where the host asks for keys."

# ---- schemas


def _object(required: Mapping[str, Schema], optional: Mapping[str, Schema] | None = None) -> Schema:
    return {
        "type": "object",
        "properties": {**required, **(optional or {})},
        "required": list(required),
        "additionalProperties": False,
    }


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


_TEXT: Schema = {"type": "string"}
_URI: Schema = {"type": "string", "format": "uri-template"}
_TIME: Schema = {"type": "string", "format": "date-time"}
_WHOLE_SECONDS: Schema = {**_TIME, "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$"}
_ANY: Schema = {}
_SHOWN = [status.name for status in RuntimeStatus]

_STATUS = _object(
    {
        "name": {"type": ["string", "null"]},
        "instanceId": _TEXT,
        "runtimeStatus": {"enum": [*_SHOWN, "Unknown"]},
        "input": _ANY,
        "customStatus": _ANY,
        "output": _ANY,
        "createdTime": _WHOLE_SECONDS,
        "lastUpdatedTime": _WHOLE_SECONDS,
    },
    {
        "historyEvents": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"EventType": _TEXT, "Timestamp": _TIME},
                "required": ["EventType"],
            },
        }
    },
)
_CHECK_STATUS = _object(
    {
        "id": _TEXT,
        "statusQueryGetUri": _URI,
        "sendEventPostUri": _URI,
        "terminatePostUri": _URI,
        "purgeHistoryDeleteUri": _URI,
        "restartPostUri": _URI,
        "suspendPostUri": _URI,
        "resumePostUri": _URI,
    }
)
_SCHEMAS: Schema = {
    "Status": _STATUS,
    "CheckStatus": _CHECK_STATUS,
    "Deleted": _object({"instancesDeleted": {"type": "integer", "minimum": 0}}),
    "Entity": _object({"entityId": _object({"name": _TEXT, "key": _TEXT}), "lastOperationTime": _TIME, "state": _ANY}),
    "Refusal": {
        "description": "Why a request was refused.",
        **_object(
            {"Message": _TEXT},
            {"ExceptionMessage": _TEXT, "ExceptionType": _TEXT, "StackTrace": {"type": ["string", "null"]}},
        ),
    },
    "RefusalText": {"type": "string", "description": "Why a request was refused."},
    "Value": {"description": "Any JSON value."},
}

# ---- parameters


def _parameter(name: str, place: str, schema: Schema, description: str, *, required: bool = False) -> Schema:
    return {"name": name, "in": place, "schema": schema, "description": description, "required": required}


def _query(name: str, schema: Schema, description: str, *, required: bool = False) -> Schema:
    return _parameter(name, "query", schema, description, required=required)


def _path(name: str, description: str) -> Schema:
    return _parameter(name, "path", {"type": "string", "minLength": 1}, description, required=True)


_FLAG: Schema = {"type": "boolean"}
_SECONDS: Schema = {"type": "number", "minimum": 0}
_COMMON = (
    _query("taskHub", _TEXT, "Task hub; by default that of the app."),
    _query("connection", _TEXT, "Name of the setting that says which storage account; by default that of the app."),
)
_WAIT = (
    _query("timeout", _SECONDS, "Seconds to wait for the end; only together with pollingInterval."),
    _query("pollingInterval", _SECONDS, "Seconds between two looks."),
)
_REASON = _query("reason", _TEXT, "Kept with the instance.")
_TOP = _query("top", {"type": "integer", "minimum": 0, "maximum": 999_999_999}, "Rows of a page, 100 by default.")
_TOKEN = _parameter("x-ms-continuation-token", "header", _TEXT, "Where the page begins, as the page before it says.")
_CREATED = (
    _query("createdTimeFrom", _TIME, "Created at this time or later."),
    _query("createdTimeTo", _TIME, "Created at this time or earlier."),
)
_STATUSES = _query(
    "runtimeStatus",
    {"type": "array", "items": {"enum": _SHOWN}},
    "In one of these states, separated by commas.",
)
_STATUSES = {**_STATUSES, "style": "form", "explode": False}
_INSTANCE = _path("instanceId", "Id of an instance.")
_SHOW_INPUT = _query("showInput", _FLAG, "Show the input, true by default.")

# ---- responses


def _json(description: str, schema: Schema, headers: Mapping[str, str] | None = None) -> Schema:
    answer: dict[str, Any] = {"description": description, "content": {"application/json": {"schema": schema}}}
    if headers:
        answer["headers"] = {
            name: {"description": text, "schema": _TEXT, "required": True} for name, text in headers.items()
        }
    return answer


def _empty(description: str) -> Schema:
    return {"description": description}


_NOT_FOUND = _empty("There is no such instance.")
_GONE = _empty("The instance has ended.")
_ACCEPTED = _empty("It takes place when a worker reads it.")
_BAD = _json("The request makes no sense.", _ref("Refusal"))
_FAILED = _json("It did not work; the storage did not answer, say.", _ref("Refusal"))
_WRONG_STATE = _json("The instance is in another state.", _ref("RefusalText"))
_MORE = {"x-ms-continuation-token": "Where the next page begins; empty after the last one."}
_TAKEN = _json("A live instance has the id.", _ref("Refusal"))
_NEW = _json(
    "Started; where to ask for it.",
    _ref("CheckStatus"),
    {"Location": "Its status.", "Retry-After": "Seconds until it is worth while."},
)
_STARTED: Mapping[str, Schema] = {
    "200": _json("It ended while the caller waited: its output, or its status if it failed.", _ref("Value")),
    "202": _NEW,
    "400": _BAD,
    "409": _TAKEN,
}


def _operation(
    name: str,
    summary: str,
    parameters: Iterable[Schema],
    responses: Mapping[str, Schema],
    body: Schema | None = None,
) -> dict[str, Any]:
    """Return an operation; any may fail inside, or be about a hub whose name is none."""
    operation: dict[str, Any] = {
        "operationId": name,
        "summary": summary,
        "parameters": [*parameters, *_COMMON],
        "responses": {
            "400": _BAD,
            "401": _empty("The key is missing or wrong."),
            **responses,
            "500": responses.get("500", _FAILED),
        },
    }
    if body is not None:
        operation["requestBody"] = body
    return operation


def _body(description: str, *, required: bool = False, kinds: Iterable[str] = ("application/json",)) -> Schema:
    content = {kind: {"schema": _ref("Value") if kind == "application/json" else _TEXT} for kind in kinds}
    return {"description": description, "required": required, "content": content}


def _paths() -> dict[str, Any]:
    return {**_orchestrator_paths(), **_instance_paths(), **_entity_paths(), **_host_paths()}


def _orchestrator_paths() -> dict[str, Any]:
    function = _path("functionName", "Name of an orchestrator.")
    parameters = (*_WAIT, _query("version", _TEXT, "Version to start; by default that of the app."))
    told = {**_STARTED, "500": _FAILED}
    return {
        "/orchestrators/{functionName}": {
            "post": _operation("start", "Start an instance", (function, *parameters), told, _body("Its input."))
        },
        "/orchestrators/{functionName}/{instanceId}": {
            "post": _operation(
                "startWithId",
                "Start an instance with a given id",
                (function, _path("instanceId", "Its id."), *parameters),
                told,
                _body("Its input."),
            )
        },
    }


def _instance_paths() -> dict[str, Any]:
    running = _json(
        "It has not ended.",
        _ref("Status"),
        {"Location": "The same again.", "Retry-After": "Seconds until it is worth while."},
    )
    flags = (
        _query("showHistory", _FLAG, "Show the history, false by default."),
        _query("showHistoryOutput", _FLAG, "Show results in it, false by default."),
        _SHOW_INPUT,
        _query("returnInternalServerErrorOnFailure", _FLAG, "Answer 500 for a failed instance, false by default."),
    )
    either = {"anyOf": [_ref("Status"), _ref("Refusal")]}
    status = {
        "200": _json("It has ended.", _ref("Status")),
        "202": running,
        "404": _NOT_FOUND,
        "500": _json("It failed, and the caller wants to see that in the code; or the request failed.", either),
    }
    prefix = _query("instanceIdPrefix", _TEXT, "With an id that begins so.")
    listed = {"200": _json("A page.", {"type": "array", "items": _ref("Status")}, _MORE)}
    deleted = _json("Removed.", _ref("Deleted"))
    required_from = {**_CREATED[0], "required": True}
    refused_purge = _json("The request makes no sense.", {"anyOf": [_ref("RefusalText"), _ref("Refusal")]})
    paths: dict[str, Any] = {
        "/instances": {
            "get": _operation(
                "list",
                "List instances",
                (*_CREATED, _STATUSES, prefix, _SHOW_INPUT, _TOP, _TOKEN),
                listed,
            ),
            "delete": _operation(
                "purgeMany",
                "Remove ended instances of a period",
                (required_from, _CREATED[1], _STATUSES),
                {"200": deleted, "400": refused_purge, "404": _empty("There are none.")},
            ),
        },
        "/instances/{instanceId}": {
            "get": _operation("read", "Show an instance", (_INSTANCE, *flags), status),
            "delete": _operation(
                "purge",
                "Remove an instance",
                (_INSTANCE,),
                {"200": deleted, "404": _NOT_FOUND, "412": _WRONG_STATE},
            ),
        },
        "/instances/{instanceId}/raiseEvent/{eventName}": {
            "post": _operation(
                "raiseEvent",
                "Send an event to an instance",
                (_INSTANCE, _path("eventName", "Name of the event; its case does not matter.")),
                {"202": _ACCEPTED, "404": _NOT_FOUND, "410": _GONE},
                _body("Its data.", required=True),
            )
        },
    }
    for name, summary in (("terminate", "End"), ("suspend", "Pause"), ("resume", "Let go on")):
        paths[f"/instances/{{instanceId}}/{name}"] = {
            "post": _operation(
                name,
                f"{summary} an instance",
                (_INSTANCE, _REASON),
                {"202": _ACCEPTED, "404": _NOT_FOUND, "410": _GONE},
            )
        }
    paths["/instances/{instanceId}/rewind"] = {
        "post": _operation(
            "rewind",
            "Let a failed instance do again what failed",
            (_INSTANCE, _REASON),
            {
                "202": _ACCEPTED,
                "404": _json("There is no such instance.", _ref("RefusalText")),
                "412": _WRONG_STATE,
            },
        )
    }
    paths["/instances/{instanceId}/restart"] = {
        "post": _operation(
            "restart",
            "Start an instance anew",
            (_INSTANCE, _query("restartWithNewInstanceId", _FLAG, "With a new id, true by default."), *_WAIT),
            _STARTED,
        )
    }
    new_id = _query("newInstanceId", {"type": "string", "minLength": 1}, "Id of the new instance.", required=True)
    paths["/instances/{instanceId}/restartWithOptions"] = {
        "post": _operation(
            "restartWithOptions",
            "Start an instance anew with an id and version of its own",
            (_INSTANCE, new_id, _query("version", _TEXT, "Version to start; by default that of the app."), *_WAIT),
            _STARTED,
        )
    }
    return paths


def _entity_paths() -> dict[str, Any]:
    name, key = _path("entityName", "Name of an entity function."), _path("entityKey", "Key of an entity.")
    times = (
        _query("lastOperationTimeFrom", _TIME, "Used at this time or later."),
        _query("lastOperationTimeTo", _TIME, "Used at this time or earlier."),
    )
    filters = (*times, _query("fetchState", _FLAG, "Show the state, false by default."), _TOP, _TOKEN)
    listed = {"200": _json("A page.", {"type": "array", "items": _ref("Entity")}, _MORE)}
    read = {"200": _json("Its state.", _ref("Value")), "404": _empty("There is no such entity.")}
    body = _body("Input of the operation; what is no JSON becomes a text.", kinds=("application/json", "text/plain"))

    def signals(suffix: str, parameters: tuple[Schema, ...], of: str) -> dict[str, Any]:
        operation = _query("op", _TEXT, "Name of the operation.")
        sent = {"202": _ACCEPTED}
        return {
            "post": _operation(f"signal{suffix}", f"Signal {of}", (*parameters, operation), sent, body),
            "delete": _operation(f"delete{suffix}", f"Delete {of}", parameters, sent),
        }

    return {
        "/entities": {"get": _operation("listEntities", "List entities", filters, listed)},
        "/entities/{entityName}": {
            "get": _operation("listEntitiesOfName", "List the entities of a name", (name, *filters), listed),
            **signals("WithoutKey", (name,), "the entity with the empty key"),
        },
        "/entities/{entityName}/{entityKey}": {
            "get": _operation("readEntity", "Show an entity; $ is the empty key", (name, key), read),
            **signals("Entity", (name, key), "an entity"),
        },
    }


def _host_paths() -> dict[str, Any]:
    return {
        "/makeprimary": {
            "post": _operation("makePrimary", "Let this app work on the hub", (), {"200": _empty("It will.")})
        }
    }
