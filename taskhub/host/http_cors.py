"""PURE: cross-origin requests of browsers: which headers an answer gets, and what a preflight is told.

Pages of the origins named may make any request with any header; ``*`` names all. Others get their answer without the
headers, and it is their browser that keeps it from the page.

Source: ASP.NET Core's CORS middleware, as ``func start --cors`` sets it up.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from taskhub.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

ANY = "*"


@dataclass(frozen=True, slots=True)
class Cors:
    """Who may read answers across origins."""

    origins: frozenset[str]
    """Without slashes at their ends, in lower case; ``*`` for all."""
    allow_credentials: bool = False
    """Whether requests may carry cookies and the like."""

    @classmethod
    def of(cls, origins: str, *, allow_credentials: bool) -> Cors:
        """Read a list with commas.

        Raises:
            ConfigurationError: credentials for all origins, which browsers refuse.
        """
        named = frozenset(part.strip().rstrip("/").lower() for part in origins.split(",") if part.strip())
        if allow_credentials and ANY in named:
            raise ConfigurationError(
                "CORS: credentials cannot be allowed for all origins. Name the origins in place of '*', or leave out "
                "CORSCredentials (--cors-credentials)."
            )
        return cls(named, allow_credentials)

    def is_preflight(self, method: str, headers: Mapping[str, str]) -> bool:
        """Return whether a request only asks whether another one would be allowed.

        Args:
            method: upper-case.
            headers: of the request; looked up by lower-case names.
        """
        return method == "OPTIONS" and "origin" in headers and "access-control-request-method" in headers

    def preflight(self, headers: Mapping[str, str]) -> dict[str, str]:
        """Return the headers of the answer to a preflight, which is 204 in any case."""
        answer = self.headers(headers)
        if "Access-Control-Allow-Origin" in answer:
            answer["Access-Control-Allow-Methods"] = headers["access-control-request-method"]
            asked = headers.get("access-control-request-headers")
            if asked:
                answer["Access-Control-Allow-Headers"] = asked
        return answer

    def headers(self, headers: Mapping[str, str]) -> dict[str, str]:
        """Return the headers that the answer to a request gets."""
        origin = headers.get("origin")
        if origin is None:
            return {}
        if ANY in self.origins:
            return {"Access-Control-Allow-Origin": ANY}
        if origin.lower() not in self.origins:
            return {}
        answer = {"Access-Control-Allow-Origin": origin, "Vary": "Origin"}
        if self.allow_credentials:
            answer["Access-Control-Allow-Credentials"] = "true"
        return answer
