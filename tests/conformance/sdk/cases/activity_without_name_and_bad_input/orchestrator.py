import azure.durable_functions as df


def flow(context):
    yield context.call_activity("", {1, 2})


main = df.Orchestrator.create(flow)
