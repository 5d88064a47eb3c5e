"""HTTP triggers: from a request to the data of a function, from its outcome to a response.

Source: Azure Functions host and Python worker; ``functions-host.md`` 3.1 to 3.3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from azure.functions.meta import Datum

from taskhub.host.bindings import BindingError
from taskhub.host.call_plan import RETURN
from taskhub.host.client_binding import bound_data
from taskhub.host.functions import HTTP_TRIGGER
from taskhub.host.invoker import InvocationFailed
from taskhub.host.route_templates import Route, RouteTable, TemplateError, parse_template

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from taskhub.host.call_plan import CallPlan
    from taskhub.host.functions import Function
    from taskhub.host.invoker import Invoker, Outcome

HTTP_REASON = "This function was programmatically called via the host APIs."
_BODILESS = frozenset({204, 304})
# The server frames the answer itself.
_HOP_BY_HOP = frozenset({"transfer-encoding", "content-length", "connection", "keep-alive"})


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """What functions see of a request."""

    method: str
    url: str
    """As received, the path still escaped."""
    query: str
    headers: Mapping[str, str]
    """Names in lower case, several values joined by commas."""
    body: bytes


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """What goes back."""

    status: int
    body: bytes = b""
    headers: Sequence[tuple[str, str]] = ()


class HttpFunctions:
    """The HTTP functions of an app, behind their routes.

    Args:
        plans: functions of the app; those without HTTP trigger are passed over.
        invoker: runs them.
        prefix: what stands before every route (``api``), may be empty.
        client_payload: makes the text of a durable client binding from its properties.
        headers: added to every answer.
    """

    def __init__(
        self,
        plans: Iterable[CallPlan],
        invoker: Invoker,
        *,
        prefix: str,
        client_payload: Callable[[Mapping[str, Any]], str],
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self._invoker = invoker
        self._client_payload = client_payload
        self._headers = tuple((headers or {}).items())
        routes = []
        for plan in plans:
            if plan.function.trigger.kind == HTTP_TRIGGER and not plan.function.is_disabled:
                template = parse_template(full_route(plan.function, prefix))
                routes.append(Route(template, frozenset(methods_of(plan.function)), plan))
        self._routes: RouteTable[CallPlan] = RouteTable.of(routes)

    def find(self, method: str, path: str) -> tuple[CallPlan, Mapping[str, str]] | None:
        """Return the function for a request, with its route values.

        Args:
            method: upper-case.
            path: decoded, without slashes at its ends.
        """
        return self._routes.find(method, path)

    async def call(self, plan: CallPlan, request: HttpRequest, route_values: Mapping[str, str]) -> HttpResponse:
        """Run a function for a request; one that fails gives an empty 500."""
        try:
            outcome = await self._invoker.invoke(plan, self._data(plan, request, route_values), reason=HTTP_REASON)
        except InvocationFailed:
            return HttpResponse(500)
        response = _response(plan, outcome)
        if not self._headers:
            return response
        return HttpResponse(response.status, response.body, (*response.headers, *self._headers))

    def _data(self, plan: CallPlan, request: HttpRequest, route_values: Mapping[str, str]) -> dict[str, Datum]:
        return bound_data(plan, _request_datum(request, route_values), self._client_payload)


def check_route(function: Function, prefix: str) -> None:
    """Raise BindingError when the route of an HTTP function means nothing."""
    if function.trigger.kind == HTTP_TRIGGER:
        try:
            parse_template(full_route(function, prefix))
        except TemplateError as error:
            raise BindingError(f"{error}.") from error


def full_route(function: Function, prefix: str) -> str:
    """Return prefix and route of an HTTP function, as the listing shows them."""
    route = function.trigger.properties.get("route")
    route = (str(route) if route else function.name).lstrip("/")
    return f"{prefix}/{route}" if prefix else route


def methods_of(function: Function) -> Sequence[str]:
    """Return the methods that an HTTP function takes, upper-case and as declared; empty: all."""
    methods: Sequence[str] = function.trigger.properties.get("methods") or ()
    return methods


# ---- request


def _request_datum(request: HttpRequest, route_values: Mapping[str, str]) -> Datum:
    return Datum(
        {
            "method": Datum(request.method, "string"),
            "url": Datum(request.url, "string"),
            "headers": _strings(request.headers),
            "query": _strings(_query(request.query)),
            "params": _strings(route_values),
            "body": Datum(request.body, "bytes"),
        },
        "http",
    )


def _strings(values: Mapping[str, str]) -> dict[str, Datum]:
    return {name: Datum(value, "string") for name, value in values.items()}


def _query(raw: str) -> Mapping[str, str]:
    """Return the parameters; those with an empty value are dropped, as in the original."""
    if not raw:
        return {}
    values: dict[str, str] = {}
    for name, value in parse_qsl(raw, keep_blank_values=False):
        values[name] = f"{values[name]},{value}" if name in values else value
    return values


# ---- response


def _response(plan: CallPlan, outcome: Outcome) -> HttpResponse:
    declared = plan.result
    if declared is not None and declared.binding.name == RETURN and declared.binding.kind == "http":
        datum = outcome.result
    else:
        datum = next(
            (value for name, value in outcome.outputs.items() if plan.outputs[name].binding.kind == "http"), None
        )
    if datum is None:
        return HttpResponse(204)
    if datum.type != "http":
        text = datum.value if isinstance(datum.value, bytes) else str(datum.value).encode()
        return HttpResponse(200, text, (("Content-Type", "text/plain; charset=utf-8"),))
    return _from_datum(datum.value)


def _from_datum(value: Mapping[str, Any]) -> HttpResponse:
    status = int(value["status_code"].value)
    headers = [(name, header.value) for name, header in value["headers"].items() if name.lower() not in _HOP_BY_HOP]
    for jar in value["cookies"] or ():
        headers += [("Set-Cookie", morsel.OutputString()) for morsel in jar.values()]
    body = value["body"].value
    if status in _BODILESS:
        headers = [(name, text) for name, text in headers if name.lower() != "content-type"]
        body = b""
    return HttpResponse(status, body.encode() if isinstance(body, str) else body, headers)
