"""Exceptions of user code as texts, without the frames of the host and of what the SDK wraps around functions.

Source: Azure Functions Python worker, exception serialisation.
"""

from __future__ import annotations

import importlib.util
import traceback
from pathlib import Path

from taskhub.host.official_sdk import PACKAGE

_SDK = importlib.util.find_spec(PACKAGE)
_HOST_FRAMES = (
    str(Path(__file__).parent),
    *((_SDK.submodule_search_locations or ()) if _SDK is not None else ()),
    "<frozen importlib",
    f"{Path(traceback.__file__).parent / 'importlib'}",
    f"{Path(traceback.__file__).parent / 'asyncio'}",
    f"{Path(traceback.__file__).parent / 'concurrent'}",
)


def describe_failure(error: BaseException) -> tuple[str, str]:
    """Return the message (``ValueError: boom``) and the traceback of the user's frames, ``""`` when there are none."""
    frames = traceback.extract_tb(error.__traceback__)
    while frames and frames[0].filename.startswith(_HOST_FRAMES):
        del frames[0]
    kept = [frame for frame in frames if not frame.filename.startswith("<frozen importlib")]
    return f"{type(error).__name__}: {error}", "".join(traceback.format_list(kept))
