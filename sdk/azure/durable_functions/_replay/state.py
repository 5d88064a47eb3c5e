"""The JSON shell's answer: what an orchestrator has asked for so far, and how it ended."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from azure.durable_functions._replay.schema import ReplaySchema
from azure.durable_functions._serialization import df_dumps

if TYPE_CHECKING:
    from collections.abc import Sequence

    from azure.durable_functions._replay.actions import Action

_encode = json.JSONEncoder().encode


class OrchestratorState:
    """State of an orchestration after an episode.

    Args:
        is_done: the code returned or continued as new.
        actions: one list for each step in the first schema, a single list in the later ones.
        output: what the code returned.
        replay_schema: form of ``actions``.
        error: text of the failure.
        custom_status: shown in the instance's status unless falsy.
    """

    def __init__(
        self,
        is_done: bool,
        actions: Sequence[Sequence[Action]],
        output: Any,
        replay_schema: ReplaySchema,
        error: str | None = None,
        custom_status: Any = None,
    ) -> None:
        self._is_done = is_done
        self._actions = actions
        self._output = output
        self._replay_schema = replay_schema
        self._error = error
        self._custom_status = custom_status

    @property
    def is_done(self) -> bool:
        """Whether the code returned or continued as new."""
        return self._is_done

    @property
    def actions(self) -> Sequence[Sequence[Action]]:
        """What the code has asked for."""
        return self._actions

    @property
    def output(self) -> Any:
        """What the code returned."""
        return self._output

    @property
    def error(self) -> str | None:
        """Text of the failure."""
        return self._error

    @property
    def custom_status(self) -> Any:
        """Custom status, whatever it is."""
        return self._custom_status

    @property
    def schema_version(self) -> int:
        """Number of the schema."""
        number: int = self._replay_schema.value
        return number

    def to_json(self) -> dict[str, Any]:
        """Return the form that the host reads, with output and status as the user's values."""
        state = _head(self._is_done, self._actions, self._replay_schema)
        if self._output is not None:
            state["output"] = self._output
        if self._error is not None:
            state["error"] = self._error
        if self._custom_status:
            state["customStatus"] = self._custom_status
        return state

    def to_json_string(self) -> str:
        """Return the text that the host reads.

        Raises:
            TypeError: output or custom status cannot be encoded.
        """
        output = None if self._output is None else df_dumps(self._output)
        return render_state(self._is_done, self._actions, self._replay_schema, output, self._error, self._custom_status)


def render_state(
    is_done: bool,
    actions: Sequence[Sequence[Action]],
    schema: ReplaySchema,
    output: str | None,
    error: str | None,
    custom_status: Any,
) -> str:
    """Return a state as the host reads it; ``output`` is JSON text.

    Raises:
        TypeError: the custom status cannot be encoded.
    """
    parts = [_encode(_head(is_done, actions, schema))[:-1]]
    if output is not None:
        parts.append(f'"output": {output}')
    if error is not None:
        parts.append(f'"error": {_encode(error)}')
    if custom_status:
        parts.append(f'"customStatus": {df_dumps(custom_status)}')
    return ", ".join(parts) + "}"


def _head(is_done: bool, actions: Sequence[Sequence[Action]], schema: ReplaySchema) -> dict[str, Any]:
    head: dict[str, Any] = {"isDone": is_done}
    if schema is not ReplaySchema.V1:
        head["schemaVersion"] = schema.value
    head["actions"] = [[action.to_json() for action in group] for group in actions]
    return head
