import azure.durable_functions as df


def counter(context: df.DurableOrchestrationContext):
    museum = df.EntityId("Counter", context.instance_id)
    for group in context.get_input() or [3, 1, 4]:
        context.signal_entity(museum, "add", group)
    visitors = yield context.call_entity(museum, "get")
    return visitors


main = df.Orchestrator.create(counter)
