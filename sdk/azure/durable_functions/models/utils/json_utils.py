"""Building JSON objects attribute by attribute, and reading .NET time spans."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from azure.durable_functions._replay.context import parse_span
from azure.durable_functions.constants import DATETIME_STRING_FORMAT

if TYPE_CHECKING:
    from datetime import timedelta


def add_attrib(json_dict: dict[str, Any], object_: object, attribute_name: str, alt_name: str | None = None) -> None:
    """Copy an attribute into ``json_dict``, ``None`` included; an object without it changes nothing.

    Args:
        json_dict: is changed.
        object_: has the attribute, or not.
        attribute_name: name of the attribute.
        alt_name: the key to use instead of the attribute's name.
    """
    if hasattr(object_, attribute_name):
        json_dict[alt_name or attribute_name] = getattr(object_, attribute_name)


def add_datetime_attrib(
    json_dict: dict[str, Any], object_: object, attribute_name: str, alt_name: str | None = None
) -> None:
    """Add a ``datetime`` attribute as text, ``2024-01-02T03:04:05.000000Z``, without converting its zone.

    Arguments as for :func:`add_attrib`.
    """
    if hasattr(object_, attribute_name):
        json_dict[alt_name or attribute_name] = getattr(object_, attribute_name).strftime(DATETIME_STRING_FORMAT)


def add_json_attrib(
    json_dict: dict[str, Any], object_: object, attribute_name: str, alt_name: str | None = None
) -> None:
    """Add what ``to_json()`` of an attribute returns, unless the attribute is falsy or missing.

    Arguments as for :func:`add_attrib`.
    """
    attribute = getattr(object_, attribute_name, None)
    if attribute:
        json_dict[alt_name or attribute_name] = attribute.to_json()


def parse_timespan_attrib(from_str: str) -> timedelta:
    """Read a .NET time span, ``[-][d.]hh:mm:ss[.fffffff]``; digits beyond microseconds are cut.

    Raises:
        Exception: the text has another form; a fraction needs exactly seven digits.
    """
    return parse_span(from_str)
