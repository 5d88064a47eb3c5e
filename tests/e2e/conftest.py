from uuid import uuid4

import pytest

from tests.support.hosts import start_host  # noqa: F401 (a fixture)


@pytest.fixture(params=["embedded", pytest.param("azurite", marks=pytest.mark.azurite)])
def store(request, tmp_path) -> dict:
    """Options of `start_host` for a store of each kind, empty and this test's own."""
    if request.param == "embedded":
        return {"storage": f"embedded:{tmp_path / 'hub.db'}"}
    return {
        "storage": "TestStorage",
        "environment": {"TestStorage": request.getfixturevalue("azurite")},
        "hub": f"e2e{uuid4().hex[:12]}",
    }
