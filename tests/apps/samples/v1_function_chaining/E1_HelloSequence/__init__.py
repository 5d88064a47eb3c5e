import azure.durable_functions as df


def orchestrator_function(context: df.DurableOrchestrationContext):
    greetings = []
    for city in ("Trieste", "Osaka", "Lima"):
        greeting = yield context.call_activity("E1_SayHello", city)
        greetings.append(greeting)
    return greetings


main = df.Orchestrator.create(orchestrator_function)
