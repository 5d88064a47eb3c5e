import azure.durable_functions as df


def provisioning(context: df.DurableOrchestrationContext):
    devices = context.get_input() or ["thermostat", "doorbell", "camera"]
    serials = yield context.task_all([context.call_sub_orchestrator("provision_device", name) for name in devices])
    return dict(zip(devices, serials, strict=True))


main = df.Orchestrator.create(provisioning)
