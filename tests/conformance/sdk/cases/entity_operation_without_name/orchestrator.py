import azure.durable_functions as df


def counter(context):
    context.set_result(context.operation_name)


main = df.Entity.create(counter)
