import azure.durable_functions as df


def orchestrator_function(context: df.DurableOrchestrationContext):
    root_directory: str = context.get_input()
    if not root_directory:
        raise Exception("A directory path is required as input")
    files = yield context.call_activity("E2_GetFileList", root_directory)
    results = yield context.task_all([context.call_activity("E2_CopyFileToBlob", file) for file in files])
    return sum(results)


main = df.Orchestrator.create(orchestrator_function)
