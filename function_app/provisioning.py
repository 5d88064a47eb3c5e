"""Sub-orchestrations: a parent that provisions devices, with one orchestration of its own for each device."""

import azure.durable_functions as df

bp = df.Blueprint()


@bp.orchestration_trigger(context_name="context")
def provisioning(context: df.DurableOrchestrationContext):
    """Provision devices, all at once. Input: a list of names, or nothing for those that an activity finds."""
    devices = context.get_input()
    if not devices:
        devices = yield context.call_activity("find_new_devices")
    reports = yield context.task_all([context.call_sub_orchestrator("provision_device", device) for device in devices])
    return {"provisioned": len(reports), "devices": reports}


@bp.orchestration_trigger(context_name="context")
def provision_device(context: df.DurableOrchestrationContext):
    """Bring one device into service, step by step."""
    device = context.get_input()
    serial = yield context.call_activity("create_identity", device)
    firmware = yield context.call_activity("install_firmware", serial)
    yield context.call_activity("register_device", {"device": device, "serial": serial, "firmware": firmware})
    return {"device": device, "serial": serial, "firmware": firmware}


@bp.activity_trigger(input_name="nothing")
def find_new_devices(nothing) -> list:
    return ["thermostat", "doorbell", "camera"]


@bp.activity_trigger(input_name="device")
def create_identity(device: str) -> str:
    return f"{device[:2].upper()}-{sum(device.encode()):04d}"


@bp.activity_trigger(input_name="serial")
def install_firmware(serial: str) -> str:
    return "2.4.1" if serial.startswith("CA") else "1.9.0"


@bp.activity_trigger(input_name="record")
def register_device(record: dict) -> None:
    # A real app would write to its device registry. Like every activity it may run twice after a crash, so it
    # should be a write that changes nothing the second time.
    pass
