import azure.durable_functions as df


def flow(context):
    yield context.call_activity("A")
    context.continue_as_new(1)
    value = yield context.call_activity("B")
    return value


main = df.Orchestrator.create(flow)
