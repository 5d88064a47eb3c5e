import azure.durable_functions as df


def orchestrator_function(context: df.DurableOrchestrationContext):
    round_name = context.get_input()
    tasks = [context.call_activity("Hello", f"{city} in the {round_name} round") for city in ("Trieste", "Osaka")]
    results = yield context.task_all(tasks)
    return results


main = df.Orchestrator.create(orchestrator_function)
