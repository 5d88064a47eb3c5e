"""HTTP triggers: from a request to the data of a function, from its outcome to a response.

Source: Azure Functions host and Python worker; ``functions-host.md`` 3.1 to 3.3.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from azure.functions.meta import Datum

from taskhub.host.bindings import BindingError
from taskhub.host.call_plan import RETURN, WEB_REQUEST
from taskhub.host.client_binding import bound_data
from taskhub.host.functions import HTTP_TRIGGER
from taskhub.host.http_keys import Access
from taskhub.host.http_options import BODILESS, HOP_BY_HOP, is_header
from taskhub.host.http_streams import WebStreams
from taskhub.host.invocation import TraceContext
from taskhub.host.invoker import InvocationFailed
from taskhub.host.route_templates import Route, RouteTable, TemplateError, parse_template

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from taskhub.host.call_plan import CallPlan
    from taskhub.host.functions import Function
    from taskhub.host.http_streams import Exchange
    from taskhub.host.invoker import Invoker, Outcome

HTTP_REASON = "This function was programmatically called via the host APIs."
_LEVELS = {level.value: level for level in (Access.ANONYMOUS, Access.FUNCTION, Access.ADMIN)}

_FRAMING = HOP_BY_HOP | {"content-length"}

logger = logging.getLogger(__name__)


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
    """

    def __init__(
        self,
        plans: Iterable[CallPlan],
        invoker: Invoker,
        *,
        prefix: str,
        client_payload: Callable[[Mapping[str, Any]], str],
    ) -> None:
        self._invoker = invoker
        self._client_payload = client_payload
        self._access: dict[str, Access] = {}
        routes = []
        for plan in plans:
            if plan.function.trigger.kind == HTTP_TRIGGER and not plan.function.is_disabled:
                template = parse_template(full_route(plan.function, prefix))
                self._access[plan.function.name] = access_of(plan.function)
                routes.append(Route(template, frozenset(methods_of(plan.function)), plan))
        self._routes: RouteTable[CallPlan] = RouteTable.of(routes)
        is_streamed = any(route.target.is_streamed for route in routes)
        self._streams = WebStreams(invoker.beside_functions) if is_streamed else None

    def find(self, method: str, path: str) -> tuple[CallPlan, Mapping[str, str]] | None:
        """Return the function for a request, with its route values.

        Args:
            method: upper-case.
            path: decoded, without slashes at its ends.
        """
        return self._routes.find(method, path)

    def access_of(self, plan: CallPlan) -> Access:
        """Return what requests for a function must prove where authorization is on."""
        return self._access[plan.function.name]

    async def call(self, plan: CallPlan, request: HttpRequest, route_values: Mapping[str, str]) -> HttpResponse:
        """Run a function for a request; one that fails, or answers with what is no response, gives an empty 500."""
        try:
            data = self._data(plan, request, route_values)
            outcome = await self._invoker.invoke(plan, data, reason=HTTP_REASON, trace=_trace(request))
        except InvocationFailed:
            return HttpResponse(500)
        try:
            return _response(plan, outcome)
        except _ResponseError as error:
            logger.error("The answer of Functions.%s cannot be sent: %s", plan.function.name, error)
            return HttpResponse(500)

    async def stream(
        self, plan: CallPlan, request: HttpRequest, route_values: Mapping[str, str], exchange: Exchange
    ) -> None:
        """Run a function that takes the request of a web framework, and send its answer as it comes.

        Args:
            plan: of the function.
            request: without its body.
            route_values: of the route.
            exchange: reads the body and sends the answer.
        """
        if self._streams is None:
            raise RuntimeError(f"Functions.{plan.function.name} takes no request of a web framework")
        trigger = _request_datum(request, route_values)

        async def run(web_request: object) -> object:
            trigger.value[WEB_REQUEST] = web_request
            data = bound_data(plan, trigger, self._client_payload)
            outcome = await self._invoker.invoke(plan, data, reason=HTTP_REASON, trace=_trace(request))
            return None if outcome.result is None else outcome.result.value

        await self._streams.answer(plan.function.name, (request.method, request.url), route_values, exchange, run)

    def _data(self, plan: CallPlan, request: HttpRequest, route_values: Mapping[str, str]) -> dict[str, Datum]:
        return bound_data(plan, _request_datum(request, route_values), self._client_payload)


def check_route(function: Function, prefix: str) -> None:
    """Raise BindingError when the route or the authorization level of an HTTP function means nothing."""
    if function.trigger.kind == HTTP_TRIGGER:
        access_of(function)
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


def access_of(function: Function) -> Access:
    """Return what the requests of an HTTP function must prove where authorization is on.

    Raises:
        BindingError: there is no such level.
    """
    written = function.trigger.properties.get("authlevel")
    level = _LEVELS.get(str(written or Access.FUNCTION.value).lower())
    if level is None:
        raise BindingError(f"authLevel is '{written}'; it must be anonymous, function or admin.")
    return level


# ---- request


def _trace(request: HttpRequest) -> TraceContext:
    return TraceContext(request.headers.get("traceparent", ""), request.headers.get("tracestate", ""))


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


class _ResponseError(Exception):
    """A response that HTTP does not have; the message says what is wrong with it."""


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
    if datum.type == "http":
        return _from_datum(datum.value)
    text = datum.value if isinstance(datum.value, bytes) else str(datum.value).encode()
    described = _described(text)
    if described is not None:
        return described
    return HttpResponse(200, text, (("Content-Type", "text/plain; charset=utf-8"),))


def _from_datum(value: Mapping[str, Any]) -> HttpResponse:
    headers = [(name, header.value) for name, header in value["headers"].items()]
    for jar in value["cookies"] or ():
        headers += [("Set-Cookie", morsel.OutputString()) for morsel in jar.values()]
    body = value["body"].value
    return _sound(value["status_code"].value, headers, body.encode() if isinstance(body, str) else body)


def _described(text: bytes) -> HttpResponse | None:
    """Return the response that a text describes: ``{"status": 201, "headers": {…}, "body": …}`` as in the original."""
    if not text.lstrip().startswith(b"{"):
        return None
    try:
        parts = {str(key).lower(): value for key, value in json.loads(text).items()}
    except ValueError:
        return None
    if "body" not in parts:
        return None
    headers = parts.get("headers")
    sent = [(str(name), str(value)) for name, value in headers.items()] if isinstance(headers, dict) else []
    body = parts["body"]
    kind = "text/plain; charset=utf-8"
    if body is not None and not isinstance(body, str):
        body, kind = json.dumps(body, separators=(",", ":"), ensure_ascii=False), "application/json; charset=utf-8"
    if not any(name.lower() == "content-type" for name, _ in sent):
        sent.append(("Content-Type", kind))
    status = parts.get("statuscode", parts.get("status"))
    return _sound(200 if status is None else status, sent, (body or "").encode())


def _sound(status: object, headers: Sequence[tuple[str, str]], body: bytes) -> HttpResponse:
    """Return a response that can be sent as it is.

    Raises:
        _ResponseError: there is no such status, or a header would end its line.
    """
    try:
        code = int(str(status))
    except ValueError:
        raise _ResponseError(f"its status is {status!r}, not a number.") from None
    if not 200 <= code <= 999:
        raise _ResponseError(f"its status is {code}; a final one has 200 or more, and three digits.")
    kept = [(name, value) for name, value in headers if name.lower() not in _FRAMING]
    for name, value in kept:
        if not is_header(name, value):
            raise _ResponseError(f"header {name!r} holds what no header may hold.")
    if code in BODILESS:
        return HttpResponse(code, b"", [(name, value) for name, value in kept if name.lower() != "content-type"])
    return HttpResponse(code, body, kept)
