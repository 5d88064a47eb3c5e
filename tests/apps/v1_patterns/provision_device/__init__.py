import azure.durable_functions as df


def provision_device(context: df.DurableOrchestrationContext):
    serial = yield context.call_activity("create_identity", context.get_input())
    return serial


main = df.Orchestrator.create(provision_device)
