"""The patterns of the official SDK 2.x, each in a blueprint of its own."""

import azure.durable_functions as df
import azure.functions as func
from approvals import approvals
from counters import counters
from schedules import schedules

from chaining import chaining
from fan_out import fan_out

app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)
for blueprint in (chaining, fan_out, approvals, counters, schedules):
    app.register_functions(blueprint)
