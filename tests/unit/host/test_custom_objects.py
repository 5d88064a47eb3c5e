"""Objects of an app's own classes on every way through a hub, under each kind of module name that stored values carry.

The app is loaded from its files as the host loads it, and runs in virtual time.
"""

import json
import re
import sys

import pytest

pytestmark = pytest.mark.filterwarnings("ignore:azure.functions:DeprecationWarning")

THING = """
import json

class Thing:
    def __init__(self, number):
        self.number = number

    @staticmethod
    def to_json(thing):
        return json.dumps(thing.number)

    @staticmethod
    def from_json(text):
        return Thing(json.loads(text))
"""
FLOWS = """
def flow(context):
    given = context.get_input()
    grown = yield context.call_activity("grow", given)
    child = yield context.call_sub_orchestrator("child", grown)
    event = yield context.wait_for_external_event("more")
    counted = yield context.call_entity(df.EntityId("shelf", "one"), "put", event)
    assert [type(each) for each in (given, grown, child, event, counted)] == [Thing] * 5
    return Thing(given.number + grown.number + child.number + event.number + counted.number)

def child(context):
    return (yield context.call_activity("grow", context.get_input()))

def shelf(context):
    thing = context.get_input()
    assert type(thing) is Thing
    context.set_state(thing)
    context.set_result(Thing(context.get_state().number + 1))
"""
V2 = (
    """
import azure.durable_functions as df
{import_}
app = df.DFApp()
"""
    + FLOWS
    + """
app.orchestration_trigger(context_name="context")(flow)
app.orchestration_trigger(context_name="context")(child)
app.entity_trigger(context_name="context")(shelf)

@app.activity_trigger(input_name="thing")
def grow(thing):
    return Thing(thing.number * 10)
"""
)
KINDS = {"context": "orchestrationTrigger", "thing": "activityTrigger", "entity": "entityTrigger"}


def in_one_script(write):
    write("function_app.py", V2.replace("{import_}", THING))
    return "function_app"


def in_a_module_beside_the_script(write):
    write("models.py", THING)
    write("function_app.py", V2.replace("{import_}", "from models import *"))
    return "models"


def in_a_package_of_an_app_of_folders(write):
    write("shared/__init__.py", "")
    write("shared/things.py", THING)
    start = "import azure.durable_functions as df\nfrom ..shared.things import Thing\n"
    for name, make in (("flow", "Orchestrator"), ("child", "Orchestrator"), ("shelf", "Entity")):
        function(write, name, "context", "entity" if make == "Entity" else "context")
        write(f"{name}/__init__.py", f"{start}{FLOWS}\nmain = df.{make}.create({name})\n")
    # Like the sample, the activity does not import the class of what it is given.
    function(write, "grow", "thing", "thing")
    write("grow/__init__.py", "def main(thing):\n    return type(thing)(thing.number * 10)\n")
    return "__app__.shared.things"


def function(write, name, parameter, kind):
    binding = {"name": parameter, "type": KINDS[kind], "direction": "in"}
    write(f"{name}/function.json", json.dumps({"scriptFile": "__init__.py", "bindings": [binding]}))


@pytest.mark.parametrize("write_app", [in_one_script, in_a_module_beside_the_script, in_a_package_of_an_app_of_folders])
def test_an_object_stays_one_from_start_to_output(durable_world, app, write_app):
    module = write_app(app.write)
    durable_world.load(app.root)
    thing = sys.modules[module].Thing

    instance = durable_world.start("flow", thing(1))
    # As posted to the management API: by the client of the SDK it would come as its JSON text.
    instance.raise_event("more", thing(5), as_posted=True)

    # 1 given, 10 grown, 100 by the child, 5 with the event, 6 from the entity.
    assert (type(instance.completed), instance.completed.number) == (thing, 122)
    stored = re.findall(r"__module__\W+([\w.]+)", json.dumps(instance.history))
    assert len(stored) >= 6
    assert set(stored) == {module}
    assert durable_world.entity("shelf", "one").state.number == 5
