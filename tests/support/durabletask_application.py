"""An application on the ``durabletask`` library, which the official SDK 2.x is made of: it runs on Python 3.10, too.

What the task hub sends and gets are the messages of such an app, in base64, through the same translation as in a host.
The library's worker plays one message when it is asked to, as that SDK has it do.
"""

from __future__ import annotations

import base64
import json
from collections import Counter
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import durabletask.internal.orchestrator_service_pb2 as messages
from azure.functions.meta import Datum
from durabletask.worker import TaskHubGrpcWorker

from taskhub import TaskHubSettings
from taskhub.errors import UnknownFunction
from taskhub.host.invoker import InvocationFailed, Outcome
from taskhub.host.protobuf.orchestrations import ProtobufOrchestrations
from taskhub.host.protobuf.payloads import ProtobufPayloads
from taskhub.runtime.application import ActivityFailed, ActivitySucceeded

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from taskhub.model.ids import InstanceId
    from taskhub.runtime.application import ActivityCall, EntityAnswered, EntityCall, EntityFailed, Orchestration


class DurabletaskApplication:
    """Orchestrators ``(context, input)``, activities ``(input)`` and entity classes, by name."""

    def __init__(
        self,
        orchestrators: Mapping[str, Callable[..., Any]],
        activities: Mapping[str, Callable[..., Any]] | None = None,
        entities: Mapping[str, Any] | None = None,
    ) -> None:
        self._names = set(orchestrators)
        self._activities = activities or {}
        self._entities = {name.lower() for name in entities or {}}
        self._worker = TaskHubGrpcWorker(emit_trace_spans=False)
        for name, orchestrator in orchestrators.items():
            self._worker._registry.add_named_orchestrator(name, orchestrator)
        for name, entity in (entities or {}).items():
            self._worker.add_entity(entity, name=name)
        self._orchestrations = ProtobufOrchestrations(self, TaskHubSettings(), lambda _: "{}", messages)  # type: ignore[arg-type]  # its one method
        self._payloads = ProtobufPayloads(messages)
        self.requests: list[Any] = []
        """What orchestrators were sent."""
        self.runs: Counter[tuple[str, str, int]] = Counter()
        """How often each activity ran: by instance id, name and task id."""

    def orchestration(
        self, name: str, *, instance_id: InstanceId, parent_instance_id: InstanceId | None
    ) -> Orchestration:
        if name not in self._names:
            raise UnknownFunction(f"The function '{name}' doesn't exist.")
        plan: Any = SimpleNamespace(inputs={"context": SimpleNamespace(binding=SimpleNamespace(is_trigger=True))})
        return self._orchestrations.begin(plan, name, instance_id=instance_id, parent_instance_id=parent_instance_id)

    async def invoke(self, plan: Any, data: Mapping[str, Datum], *, reason: str) -> Outcome:
        """Run an orchestrator, in place of an invoker."""
        request = messages.OrchestratorRequest.FromString(base64.b64decode(data["context"].value))
        self.requests.append(request)
        answers: list[Any] = []
        self._worker._execute_orchestrator(request, SimpleNamespace(CompleteOrchestratorTask=answers.append), None)
        return Outcome(Datum(base64.b64encode(answers[0].SerializeToString()).decode(), "string"), {})

    async def run_activity(self, call: ActivityCall) -> ActivitySucceeded | ActivityFailed:
        self.runs[(call.instance_id, call.name, call.task_id)] += 1
        text = self._payloads.activity_input(call.input)
        try:
            result = self._activities[call.name](None if text is None else json.loads(text))
        except Exception as error:  # user code, as the host translates it
            return self._payloads.activity_failed(call.name, InvocationFailed(f"{type(error).__name__}: {error}", ""))
        return ActivitySucceeded(None if result is None else json.dumps(result))

    def check_entity(self, name: str) -> None:
        if name.lower() not in self._entities:
            raise UnknownFunction(f"The function '{name}' doesn't exist.")

    async def run_entity_batch(self, call: EntityCall) -> EntityAnswered | EntityFailed:
        request = messages.EntityBatchRequest.FromString(base64.b64decode(self._payloads.entity_request(call)))
        answers: list[Any] = []
        self._worker._execute_entity_batch(request, SimpleNamespace(CompleteEntityTask=answers.append), None)
        return self._payloads.entity_answer(call, base64.b64encode(answers[0].SerializeToString()).decode())
