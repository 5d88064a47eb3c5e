"""What clients of the protocol ask for, on the client of a task hub: one method for each call of the service.

Statuses and texts of refusals are those of the Durable Task extension, which tells little of what it did not expect:
whatever is not refused below is ``UNKNOWN``.

Source: Durable Task extension, TaskHubGrpcServer; DurableClient for what it refuses.
"""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING, Any

from taskhub.errors import InstanceExists, InstanceNotFound, InvalidInstanceState, TaskHubError
from taskhub.host.protobuf.history_events import event_fields
from taskhub.host.protobuf.states import entity_fields, instance_fields
from taskhub.host.protobuf.values import text_of, utc_of
from taskhub.model.entities import EntityId
from taskhub.model.history import TraceContext
from taskhub.model.ids import ExecutionId, InstanceId
from taskhub.model.instance import InstanceFilter, RuntimeStatus

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

    from taskhub.client import TaskHubClient
    from taskhub.model.instance import InstanceState

ALREADY_EXISTS = "ALREADY_EXISTS"
FAILED_PRECONDITION = "FAILED_PRECONDITION"
INTERNAL = "INTERNAL"
INVALID_ARGUMENT = "INVALID_ARGUMENT"
NOT_FOUND = "NOT_FOUND"
UNKNOWN = "UNKNOWN"

_PAGE = 100
_LARGEST_PAGE = 1000
_EVENTS_PER_CHUNK = 100
_FIRST_LOOK_SECONDS = 0.05
_LONGEST_WAIT_SECONDS = 1.0
"""Between two looks at an instance that somebody waits for."""

_RUNNING = frozenset({RuntimeStatus.Running, RuntimeStatus.Pending, RuntimeStatus.ContinuedAsNew})
_LEGAL_FROM = {
    "terminate": _RUNNING | {RuntimeStatus.Suspended},
    "suspend": _RUNNING,
    "resume": frozenset({RuntimeStatus.Suspended}),
}


class Refused(Exception):
    """A call is refused.

    Attributes:
        status: name of the gRPC status.
        text: why.
    """

    def __init__(self, status: str, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


class SidecarService:
    """The calls. Each takes the client of the hub that it is about, and a request.

    Args:
        messages: module with the message classes.
        refuses_events: whether events for instances that are not there, or have ended, are refused; else dropped.
        sleep: waits some seconds.
    """

    def __init__(
        self,
        messages: Any,
        *,
        refuses_events: bool = True,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._messages = messages
        self._refuses_events = refuses_events
        self._sleep = sleep

    def calls(self) -> Mapping[str, Callable[[TaskHubClient, Any], Awaitable[Any]]]:
        """Return the calls that have one answer, by their names; a ``None`` answer is an empty one."""
        return {
            "Hello": self.hello,
            "StartInstance": self.start,
            "GetInstance": self.get,
            "WaitForInstanceStart": self.wait_for_start,
            "WaitForInstanceCompletion": self.wait_for_completion,
            "RaiseEvent": self.raise_event,
            "TerminateInstance": self.terminate,
            "SuspendInstance": self.suspend,
            "ResumeInstance": self.resume,
            "RewindInstance": self.rewind,
            "RestartInstance": self.restart,
            "QueryInstances": self.query,
            "PurgeInstances": self.purge,
            "SignalEntity": self.signal_entity,
            "GetEntity": self.get_entity,
            "QueryEntities": self.query_entities,
            "CleanEntityStorage": self.clean_entities,
        }

    def streams(self) -> Mapping[str, Callable[[TaskHubClient, Any], AsyncIterator[Any]]]:
        """Return the calls that have many answers, by their names."""
        return {"StreamInstanceHistory": self.history}

    async def hello(self, client: TaskHubClient, request: Any) -> None:
        """Be there."""

    # ---- instances

    async def start(self, client: TaskHubClient, request: Any) -> Any:
        """Start an orchestration."""
        try:
            instance_id = await client.start(
                request.name,
                instance_id=InstanceId(request.instanceId) or None,
                input=text_of(request, "input"),
                version=text_of(request, "version"),
                scheduled_start=utc_of(request, "scheduledStartTimestamp"),
                tags=dict(request.tags) or None,
                execution_id=ExecutionId(text_of(request, "executionId") or "") or None,
                trace=_trace_of(request),
            )
        except InstanceExists as error:
            text = f"An Orchestration instance with the ID {request.instanceId} already exists."
            raise Refused(ALREADY_EXISTS, text) from error
        except TaskHubError as error:
            text = f"Failed to start instance with ID {request.instanceId}.\nInner Exception message: {error}."
            raise Refused(INTERNAL, text) from error
        return self._messages.CreateInstanceResponse(instanceId=instance_id)

    async def get(self, client: TaskHubClient, request: Any) -> Any:
        """Tell the state of an instance."""
        with_values = request.getInputsAndOutputs
        state = await client.get(InstanceId(request.instanceId), with_input=with_values, with_output=with_values)
        return self._state_response(state, request)

    async def wait_for_start(self, client: TaskHubClient, request: Any) -> Any:
        """Tell the state of an instance once it runs; the caller's deadline ends the wait."""
        return await self._wait(client, request, lambda status: status is not RuntimeStatus.Pending)

    async def wait_for_completion(self, client: TaskHubClient, request: Any) -> Any:
        """Tell the state of an instance once it has ended; the caller's deadline ends the wait."""
        return await self._wait(client, request, lambda status: status.is_terminal)

    async def raise_event(self, client: TaskHubClient, request: Any) -> None:
        """Send an event to an instance."""
        if not request.instanceId or not request.name:
            missing = "eventName" if request.instanceId else "instanceId"
            raise Refused(INVALID_ARGUMENT, f"Value cannot be null. (Parameter '{missing}')")
        if self._refuses_events:
            state = await client.get(InstanceId(request.instanceId), with_input=False, with_output=False)
            if state is None:
                raise Refused(NOT_FOUND, _not_found(request.instanceId))
            if state.status is not None and state.status.is_terminal:
                text = "The orchestration instance with the provided instance id is not running."
                raise Refused(FAILED_PRECONDITION, text)
        await client.raise_event(InstanceId(request.instanceId), request.name, text_of(request, "input"))

    async def terminate(self, client: TaskHubClient, request: Any) -> None:
        """End an instance."""
        if not request.instanceId:
            raise Refused(INVALID_ARGUMENT, "Value cannot be null. (Parameter 'instanceId')")
        try:
            instance_id = await _controlled(client, request.instanceId, "terminate")
        except _IllegalState as error:
            raise Refused(FAILED_PRECONDITION, f"InvalidOperationException: {error}") from error
        except InstanceNotFound as error:
            raise Refused(NOT_FOUND, f"ArgumentException: {error}") from error
        await client.terminate(instance_id, text_of(request, "output"))

    async def suspend(self, client: TaskHubClient, request: Any) -> None:
        """Pause an instance."""
        instance_id = await _controlled(client, request.instanceId, "suspend")
        await client.suspend(instance_id, text_of(request, "reason"))

    async def resume(self, client: TaskHubClient, request: Any) -> None:
        """Let a paused instance go on."""
        instance_id = await _controlled(client, request.instanceId, "resume")
        await client.resume(instance_id, text_of(request, "reason"))

    async def rewind(self, client: TaskHubClient, request: Any) -> None:
        """Let a failed instance do again what failed."""
        try:
            await client.rewind(InstanceId(request.instanceId), text_of(request, "reason"))
        except InstanceNotFound as error:
            raise Refused(NOT_FOUND, _not_found(request.instanceId)) from error
        except InvalidInstanceState as error:
            raise Refused(FAILED_PRECONDITION, str(error)) from error

    async def restart(self, client: TaskHubClient, request: Any) -> Any:
        """Start an instance anew."""
        state = await client.get(InstanceId(request.instanceId))
        if state is None:
            raise Refused(NOT_FOUND, f"ArgumentException: {_not_found(request.instanceId)}")
        try:
            instance_id = await client.restart(state, with_new_id=request.restartWithNewInstanceId)
        except (InstanceExists, InvalidInstanceState) as error:
            raise Refused(FAILED_PRECONDITION, f"InvalidOperationException: {error}") from error
        return self._messages.RestartInstanceResponse(instanceId=instance_id)

    async def query(self, client: TaskHubClient, request: Any) -> Any:
        """List instances."""
        asked = request.query
        wanted = InstanceFilter(
            created_from=utc_of(asked, "createdTimeFrom"),
            created_to=utc_of(asked, "createdTimeTo"),
            statuses=frozenset(map(RuntimeStatus, asked.runtimeStatus)),
            id_prefix=text_of(asked, "instanceIdPrefix"),
            excludes_entities=True,
        )
        page = await client.query(
            wanted,
            top=_page_size(asked.maxInstanceCount),
            token=text_of(asked, "continuationToken") or None,
            with_input=asked.fetchInputsAndOutputs,
        )
        return self._messages.QueryInstancesResponse(
            orchestrationState=[
                instance_fields(state, with_values=asked.fetchInputsAndOutputs) for state in page.instances
            ],
            continuationToken=None if page.token is None else {"value": page.token},
        )

    async def purge(self, client: TaskHubClient, request: Any) -> Any:
        """Delete what is stored of an instance, or of all that a filter takes."""
        kind = request.WhichOneof("request")
        try:
            match kind:
                case "instanceId":
                    count = await client.purge(InstanceId(request.instanceId))
                case "instanceBatch":
                    count = sum([await client.purge(InstanceId(each)) for each in request.instanceBatch.instanceIds])
                case "purgeInstanceFilter":
                    asked = request.purgeInstanceFilter
                    wanted = InstanceFilter(
                        created_from=utc_of(asked, "createdTimeFrom"),
                        created_to=utc_of(asked, "createdTimeTo"),
                        statuses=frozenset(map(RuntimeStatus, asked.runtimeStatus)),
                    )
                    count = (await client.purge_ended(wanted)).instances
                case _:
                    raise Refused(INVALID_ARGUMENT, f"Unknown purge request type '{kind}'.")
        except TaskHubError as error:
            raise Refused(INTERNAL, f"Failed during purging instances: {error}") from error
        return self._messages.PurgeInstancesResponse(deletedInstanceCount=count)

    async def history(self, client: TaskHubClient, request: Any) -> AsyncIterator[Any]:
        """Tell the history of an instance, in parts."""
        instance_id = InstanceId(request.instanceId)
        if await client.get(instance_id, with_input=False, with_output=False) is None:
            raise Refused(NOT_FOUND, _not_found(instance_id))
        events = iter(await client.history(instance_id))
        while chunk := list(itertools.islice(events, _EVENTS_PER_CHUNK)):
            yield self._messages.HistoryChunk(events=[event_fields(event) for event in chunk])

    # ---- entities

    async def signal_entity(self, client: TaskHubClient, request: Any) -> None:
        """Ask an entity for an operation."""
        await client.signal_entity(
            _entity(request.instanceId),
            request.name,
            text_of(request, "input"),
            due=utc_of(request, "scheduledTime"),
            request_id=request.requestId or None,
            trace=_trace_of(request),
        )

    async def get_entity(self, client: TaskHubClient, request: Any) -> Any:
        """Tell the state of an entity."""
        state = await client.read_entity(_entity(request.instanceId))
        if state is None:
            return self._messages.GetEntityResponse(exists=False)
        fields = entity_fields(state)
        if not request.includeState:
            fields = {**fields, "serializedState": None}
        return self._messages.GetEntityResponse(exists=True, entity=fields)

    async def query_entities(self, client: TaskHubClient, request: Any) -> Any:
        """List entities."""
        asked = request.query
        page = await client.list_entities(
            id_prefix=text_of(asked, "instanceIdStartsWith"),
            operated_from=utc_of(asked, "lastModifiedFrom"),
            operated_to=utc_of(asked, "lastModifiedTo"),
            top=_page_size(asked.pageSize.value),
            token=text_of(asked, "continuationToken") or None,
            with_state=asked.includeState,
            with_deleted=asked.includeTransient,
        )
        return self._messages.QueryEntitiesResponse(
            entities=[entity_fields(state) for state in page.entities],
            continuationToken=None if page.token is None else {"value": page.token},
        )

    async def clean_entities(self, client: TaskHubClient, request: Any) -> Any:
        """Remove what entities leave behind."""
        cleaned = await client.clean_entities(
            remove_empty=request.removeEmptyEntities,
            release_orphaned_locks=request.releaseOrphanedLocks,
            token=text_of(request, "continuationToken") or None,
        )
        return self._messages.CleanEntityStorageResponse(
            emptyEntitiesRemoved=cleaned.removed,
            orphanedLocksReleased=cleaned.released,
            continuationToken=None if cleaned.token is None else {"value": cleaned.token},
        )

    # ---- parts

    async def _wait(self, client: TaskHubClient, request: Any, is_over: Callable[[RuntimeStatus], bool]) -> Any:
        seconds = _FIRST_LOOK_SECONDS
        while True:
            with_values = request.getInputsAndOutputs
            state = await client.get(InstanceId(request.instanceId), with_input=with_values, with_output=with_values)
            if state is not None and state.status is not None and is_over(state.status):
                return self._state_response(state, request)
            await self._sleep(seconds)
            seconds = min(2 * seconds, _LONGEST_WAIT_SECONDS)

    def _state_response(self, state: InstanceState | None, request: Any) -> Any:
        if state is None:
            return self._messages.GetInstanceResponse(exists=False)
        fields = instance_fields(state, with_values=request.getInputsAndOutputs)
        return self._messages.GetInstanceResponse(exists=True, orchestrationState=fields)


class _IllegalState(InvalidInstanceState):
    """An instance is in a state in which an operation makes no sense."""


async def _controlled(client: TaskHubClient, asked: str, operation: str) -> InstanceId:
    """Return the id of an instance that can be terminated, suspended or resumed.

    Raises:
        InstanceNotFound: there is none.
        _IllegalState: it is in another state.
    """
    instance_id = InstanceId(asked)
    state = await client.get(instance_id, with_input=False, with_output=False)
    if state is None:
        raise InstanceNotFound(_not_found(asked))
    if state.status not in _LEGAL_FROM[operation]:
        status = state.status.name if state.status else "Unknown"
        raise _IllegalState(
            f"Cannot {operation} the orchestration instance {asked} because instance is in the {status} state."
        )
    return instance_id


def _page_size(asked: int) -> int:
    # All there is, say clients who name no number: the largest one.
    return min(asked, _LARGEST_PAGE) if asked > 0 else _PAGE


def _not_found(instance_id: str) -> str:
    return f"No instance with ID '{instance_id}' was found. (Parameter 'instanceId')"


def _trace_of(request: Any) -> TraceContext | None:
    """Return the context that a request brings, ``None`` also for messages that have no place for one."""
    if "parentTraceContext" not in request.DESCRIPTOR.fields_by_name or not request.HasField("parentTraceContext"):
        return None
    found = request.parentTraceContext
    return TraceContext(found.traceParent, text_of(found, "traceState"))


def _entity(instance_id: str) -> EntityId:
    entity = EntityId.parse(InstanceId(instance_id))
    if entity is None:
        raise Refused(INVALID_ARGUMENT, f"'{instance_id}' is no entity.")
    return entity
