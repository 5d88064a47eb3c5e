import azure.durable_functions as df


def fan_out(context: df.DurableOrchestrationContext):
    names = yield context.call_activity("list_texts")
    counts = yield context.task_all([context.call_activity("count_words", name) for name in names])
    return {"texts": dict(zip(names, counts, strict=True)), "words": sum(counts)}


main = df.Orchestrator.create(fan_out)
