"""Lists what an object of each public class shows in ``dir()``, as JSON on standard output: names only.

Usage: $(scripts/reference-env) -I tests/conformance/sdk/record_members.py > tests/conformance/sdk/members-1.7.0.json

``record_surface.py`` looks at classes, this at objects: the reference sets many attributes when an object is made.
"""

import json
import sys
import warnings
from datetime import datetime, timedelta, timezone

import azure.durable_functions as df
from azure.durable_functions import models
from azure.durable_functions.models import actions
from azure.durable_functions.models.actions.CallEntityAction import CallEntityAction
from azure.durable_functions.models.actions.CallSubOrchestratorWithRetryAction import CallSubOrchestratorWithRetryAction
from azure.durable_functions.models.actions.ContinueAsNewAction import ContinueAsNewAction
from azure.durable_functions.models.actions.NoOpAction import NoOpAction
from azure.durable_functions.models.actions.SignalEntityAction import SignalEntityAction
from azure.durable_functions.models.DurableOrchestrationStatus import DurableOrchestrationStatus
from azure.durable_functions.models.entities import OperationResult
from azure.durable_functions.models.entities.EntityState import EntityState
from azure.durable_functions.models.EntityStateResponse import EntityStateResponse
from azure.durable_functions.models.history.HistoryEvent import HistoryEvent
from azure.durable_functions.models.ReplaySchema import ReplaySchema
from azure.durable_functions.models.RpcManagementOptions import RpcManagementOptions

TIME = {"EventId": -1, "IsPlayed": False, "Timestamp": "2024-03-05T10:00:00.0000000Z"}
STARTED = {"EventType": 0, "Name": "F", "Version": "", "Input": None, **TIME}
NOW = datetime(2024, 3, 5, 10, tzinfo=timezone.utc)
ENTITY = df.EntityId("counter", "main")
OPTIONS = df.RetryOptions(1, 2)
BINDING = json.dumps(
    {"taskHubName": "hub", "creationUrls": {}, "managementUrls": {"id": "ID"}, "rpcBaseUrl": "http://h/"}
)


def examples():
    """Return an object of each public class by the name of the class."""
    context = df.DurableOrchestrationContext(
        [{"EventType": 12, **TIME}, STARTED],
        "i",
        False,
        None,
        upperSchemaVersion=1,
        upperSchemaVersionNew=2,
        maximumShortTimerDuration="6.00:00:00",
        longRunningTimerIntervalDuration="3.00:00:00",
    )
    entity, _ = df.DurableEntityContext.from_json(
        json.dumps({"self": {"name": "counter", "key": "main"}, "exists": False, "state": None, "batch": []})
    )
    activity = context.call_activity("A")
    action = activity.action_repr
    found = [
        context,
        context.function_context,
        activity,
        context.create_timer(NOW),
        context.create_timer(NOW + timedelta(days=30)),
        context.task_all([activity]),
        context.task_any([activity]),
        context.call_activity_with_retry("A", OPTIONS),
        models.TaskBase(None, []),
        entity,
        df.DurableOrchestrationClient(BINDING),
        models.DurableOrchestrationBindings.from_json(BINDING),
        DurableOrchestrationStatus(),
        models.PurgeHistoryResult(1),
        EntityStateResponse(True, None),
        RpcManagementOptions(),
        models.OrchestratorState(True, [], None, ReplaySchema.V3),
        models.DurableHttpRequest("GET", "u"),
        df.ManagedIdentityTokenSource("r"),
        ENTITY,
        OPTIONS,
        HistoryEvent(**STARTED),
        df.Orchestrator(lambda context: None),
        df.Entity(lambda context: None),
        EntityState([], []),
        OperationResult(False, 1, 1),
        action,
        actions.CallActivityWithRetryAction("A", OPTIONS),
        actions.CallSubOrchestratorAction("A"),
        CallSubOrchestratorWithRetryAction("A", OPTIONS),
        context.call_http("GET", "u").action_repr,
        actions.CreateTimerAction(NOW),
        actions.WaitForExternalEventAction("e"),
        actions.WhenAllAction([action]),
        actions.WhenAnyAction([action]),
        CallEntityAction(ENTITY, "op"),
        SignalEntityAction(ENTITY, "op"),
        ContinueAsNewAction(None),
        NoOpAction(),
        df.Blueprint(),
        df.DFApp(),
    ]
    return {type(each).__name__: each for each in found}


def members(value):
    """Return the public names of an object."""
    return sorted(name for name in dir(value) if not name.startswith("_"))


if __name__ == "__main__":
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        json.dump({name: members(each) for name, each in examples().items()}, sys.stdout, indent=1)
    sys.stdout.write("\n")
