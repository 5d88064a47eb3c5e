import azure.durable_functions as df


def runner(context, question):
    options = df.RetryOptions(first_retry_interval_in_milliseconds=100, max_number_of_attempts=3)
    reply = yield context.call_activity_with_retry("run_model", options, question)
    return f"{reply['words']} words asked"
