from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
RECORDED = ROOT.parent / "shared/golden"


@pytest.mark.skipif(not RECORDED.is_dir(), reason="no ../shared/golden beside this clone")
def test_the_recordings_are_copied_byte_for_byte():
    assert _contents(ROOT / "tests/golden") == _contents(RECORDED)


def _contents(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
