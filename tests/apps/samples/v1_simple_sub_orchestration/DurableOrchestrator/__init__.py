import azure.durable_functions as df


def orchestrator_function(context: df.DurableOrchestrationContext):
    first = yield context.call_sub_orchestrator("DurableSubOrchestrator", "first")
    second = yield context.call_sub_orchestrator("DurableSubOrchestrator", "second")
    return [first, second]


main = df.Orchestrator.create(orchestrator_function)
