import azure.durable_functions as df

from ..shared_code.MyClasses import SerializableClass


def orchestrator_function(context: df.DurableOrchestrationContext):
    given: SerializableClass = context.get_input()
    doubled: SerializableClass = yield context.call_activity("DurableActivity", given)
    return [given.show_number(), doubled.show_number(), doubled]


main = df.Orchestrator.create(orchestrator_function)
