import azure.durable_functions as df


def orchestrator_function(context: df.DurableOrchestrationContext):
    outputs = []
    for number in range(3):
        context.set_custom_status(f"step {number}")
        outputs.append((yield context.call_activity("DurableActivity", number)))
    context.set_custom_status({"done": len(outputs)})
    return outputs


main = df.Orchestrator.create(orchestrator_function)
