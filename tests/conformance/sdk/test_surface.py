"""The public surface against that of the reference, recorded by ``record_surface.py``."""

import importlib
import inspect
import json
from pathlib import Path
from typing import Any

import azure.durable_functions as df
import pytest

from tests.conformance.sdk.record_surface import PACKAGE, describe_value

SURFACE: dict[str, Any] = json.loads(Path(__file__).with_name("surface-1.7.0.json").read_text(encoding="utf-8"))
DEFINITIONS = [(module, name) for module, names in SURFACE["modules"].items() for name in names]

ENGINE = "the engine's own business: nobody outside calls it"
CLIENT = f"{PACKAGE}.models.DurableOrchestrationClient.DurableOrchestrationClient"
EXECUTOR = f"{PACKAGE}.models.TaskOrchestrationExecutor.TaskOrchestrationExecutor"
ABSENT = {
    f"{PACKAGE}.validate_extension_bundles": "private here, and its text is ours",
    f"{PACKAGE}.validate_v1_programming_model": "warns of a move that this package does not make",
    f"{EXECUTOR}.get_orchestrator_state_str": ENGINE,
    f"{EXECUTOR}.has_execution_completed": ENGINE,
    f"{EXECUTOR}.initialize": ENGINE,
    f"{EXECUTOR}.is_task_completion_event": ENGINE,
    f"{EXECUTOR}.orchestration_invocation_succeeded": ENGINE,
    f"{EXECUTOR}.process_event": ENGINE,
    f"{EXECUTOR}.resume_user_code": ENGINE,
    f"{EXECUTOR}.set_task_value": ENGINE,
}

OTHERWISE = {
    f"{PACKAGE}.decorators.durable_app.Blueprint.durable_client_input": "the name may come from the annotation",
    f"{PACKAGE}.decorators.durable_app.DFApp.durable_client_input": "the name may come from the annotation",
    f"{CLIENT}.create_http_management_payload": "also takes (request, instance_id), as 2.x",
    f"{CLIENT}.wait_for_completion_or_create_check_status_response": "return_internal_server_error_on_failure, as 2.x",
    f"{PACKAGE}.models.utils.entity_utils.EntityId.__hash__": "ids can be keys of a dictionary (Q7)",
    f"{PACKAGE}.models.actions.WaitForExternalEventAction.WaitForExternalEventAction.__hash__": "what compares, hashes",
    f"{PACKAGE}.models.actions.NoOpAction.NoOpAction.action_type": "a property, as of every other action",
    f"{PACKAGE}.models.utils.df_serialization.df_loads": "the text is named text",
}


def test_all_begins_with_the_references_names_in_its_order():
    assert df.__all__[: len(SURFACE["all"])] == SURFACE["all"]


@pytest.mark.parametrize("module", SURFACE["modules"])
def test_module_path_exists(module):
    importlib.import_module(module)


@pytest.mark.parametrize(("module", "name"), DEFINITIONS, ids=[f"{m[len(PACKAGE) :]}.{n}" for m, n in DEFINITIONS])
def test_name_is_as_in_the_reference(module, name):
    path = f"{module}.{name}"
    wanted = SURFACE["modules"][module][name]
    found = getattr(importlib.import_module(module), name, None)

    if path in ABSENT:
        assert found is None, f"{path} is there: take it off the list"
        return
    if path in OTHERWISE:
        return
    ours = describe_value(found, in_full="members" in wanted or wanted["kind"] == "enum")
    assert comparable(ours, wanted, path) == without_listed(wanted, path)


@pytest.mark.parametrize("path", OTHERWISE)
def test_listed_difference_is_one(path):
    ours, recorded = both(path)

    assert ours != recorded, f"{path} agrees with the reference: take it off the list"


@pytest.mark.parametrize("path", [path for path in ABSENT if path.startswith(EXECUTOR)])
def test_member_listed_as_absent_is_so(path):
    assert both(path)[0] is None


def test_names_of_the_package_are_its_modules_attributes():
    for name in ("constants", "decorators", "entity", "models", "orchestrator"):
        assert inspect.ismodule(getattr(df, name))
    for name in ("DurableOrchestrationStatus", "Task", "utils", "actions", "history", "entities"):
        assert inspect.ismodule(getattr(df.models, name))


def comparable(ours, wanted, path):
    """Reduce ours to what the reference has: more members, bases and keywords with defaults are no difference."""
    if "members" not in wanted:
        return ours
    members = {
        name: without_new_keywords(member, wanted["members"][name])
        for name, member in ours["members"].items()
        if name in wanted["members"] and f"{path}.{name}" not in {*ABSENT, *OTHERWISE}
    }
    bases = [base for base in ours["bases"] if base in wanted["bases"]]
    return without_new_keywords(ours, wanted, "init") | {"members": members, "bases": bases}


def without_new_keywords(ours, wanted, key="signature"):
    """Leave out keywords with defaults that the reference lacks: no call can tell."""
    if not isinstance(ours, dict) or not isinstance(ours.get(key), list):
        return ours
    kept = [
        each for each in ours[key] if each in wanted.get(key, ()) or not (each.startswith("(keyword)") and "=" in each)
    ]
    return ours | {key: kept}


def without_listed(wanted, path):
    if "members" not in wanted:
        return wanted
    listed = {*ABSENT, *OTHERWISE}
    return wanted | {
        "members": {name: member for name, member in wanted["members"].items() if f"{path}.{name}" not in listed}
    }


def both(path):
    """Return our and the reference's description of a name of a module, or of a member of a class."""
    owner, _, name = path.rpartition(".")
    if owner in SURFACE["modules"]:
        found = getattr(importlib.import_module(owner), name)
        return describe_value(found, in_full=True), SURFACE["modules"][owner][name]
    module, _, cls = owner.rpartition(".")
    ours = describe_value(getattr(importlib.import_module(module), cls), in_full=True)
    return ours["members"].get(name), SURFACE["modules"][module][cls]["members"][name]
