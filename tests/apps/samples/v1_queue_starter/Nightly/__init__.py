import logging
import typing

import azure.functions as func


# The names of those to greet, as soon as the app starts.
def main(mytimer: func.TimerRequest, context: func.Context, msg: func.Out[typing.List[str]]) -> None:  # noqa: UP006
    logging.info("%s at %s, past due: %s", context.function_name, context.invocation_id[:0], mytimer.past_due)
    msg.set(["Ada", "Grace"])
