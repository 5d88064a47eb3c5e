"""Deliberate differences of entities."""

from __future__ import annotations

import json
import sys
from typing import Any

from azure.durable_functions._serialization import df_dumps, df_loads
from azure.durable_functions.entity import Entity
from azure.durable_functions.models.DurableEntityContext import DurableEntityContext
from azure.durable_functions.models.entities.OperationResult import OperationResult

from tests.support.mends.mending import Mend, is_back

INPUT_KEY = "an operation may have no key for its input"
RETURNED = "what an entity function returns is its result"

_context_module = sys.modules[DurableEntityContext.__module__]

_perform = Entity._perform
_enter = DurableEntityContext._begin


def _get_entity_input(self: Any, expected_type: Any = None) -> Any:
    return df_loads(json.loads(self._input), expected_type)


def _keep_result(self: Any, operation: str, input_: Any) -> None:
    kept = self._result, self._has_result
    _enter(self, operation, input_)
    self._result, self._has_result = kept


def _get_raw_state(state: Any, expected_type: Any) -> Any:
    return df_loads(state, expected_type)


def _perform_as_asked(self: Any, entity: Any, operation: Any) -> Any:
    """Demand an input; ignore what the function returns."""
    run = self._run

    def call(given: Any) -> Any:
        if is_back(INPUT_KEY) and "input" not in operation:
            raise KeyError("input")
        returned = run(given)
        return None if is_back(RETURNED) else returned

    self._run = call
    try:
        return _perform(self, entity, operation)
    finally:
        self._run = run


def _take_result(self: Any, is_error: bool, duration: int, execution_start_time_ms: int, result: Any = None) -> None:
    self._is_error = is_error
    self._duration = duration
    self._execution_start_time_ms = execution_start_time_ms
    self._result = result


def _encode_late(self: Any) -> Any:
    text = df_dumps(self._result)
    return {"isError": self._is_error, "duration": 0, "startTime": 0, "result": text}


def _only_known(cls: Any, text: str) -> Any:
    found = json.loads(text)
    further = found.keys() - {"self", "exists", "state", "batch"}
    if further:
        raise TypeError(f"DurableEntityContext.__init__() got an unexpected keyword argument '{further.pop()}'")
    return cls(found["self"]["name"], found["self"]["key"], found["exists"], found["state"]), found["batch"]


MENDS: tuple[Mend, ...] = (
    Mend(
        "an entity's input may be encoded once, or missing (Q24)",
        ((DurableEntityContext, "get_input", _get_entity_input),),
    ),
    Mend(INPUT_KEY, ((Entity, "_perform", _perform_as_asked),)),
    Mend("an operation has a result of its own (Q26)", ((DurableEntityContext, "_begin", _keep_result),)),
    Mend(RETURNED, ((Entity, "_perform", _perform_as_asked),)),
    Mend(
        "a result is encoded when it is set",
        ((OperationResult, "__init__", _take_result), (OperationResult, "to_json", _encode_late)),
    ),
    Mend("a state may be no JSON", ((_context_module, "_decoded_state", _get_raw_state),)),
    Mend(
        "further keys of an entity's trigger are ignored (Q23)",
        ((DurableEntityContext, "from_json", classmethod(_only_known)),),
    ),
)
