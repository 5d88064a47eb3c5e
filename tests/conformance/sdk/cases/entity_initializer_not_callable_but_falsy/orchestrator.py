import azure.durable_functions as df


def counter(context):
    state = context.get_state(0 if context.operation_name == "zero" else 1)
    context.set_result({"state": state})


main = df.Entity.create(counter)
