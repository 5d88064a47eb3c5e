import azure.durable_functions as df


def keep_count(context: df.DurableEntityContext):
    count = context.get_state(lambda: 0)
    if context.operation_name == "add":
        count += context.get_input()
        context.set_state(count)
    context.set_result(count)


main = df.Entity.create(keep_count)
