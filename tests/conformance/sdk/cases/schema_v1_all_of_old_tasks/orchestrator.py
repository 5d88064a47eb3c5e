import azure.durable_functions as df


def flow(context):
    first = context.call_activity("A")
    second = context.call_activity("B")
    yield context.task_any([first, second])
    yield context.task_any([first, second])
    yield context.call_activity("C")


main = df.Orchestrator.create(flow)
