import os
from typing import List  # noqa: UP035 (as old apps write it)


def main(rootDirectory: str) -> List[str]:  # noqa: UP006
    return [os.path.join(path, name) for path, _, names in os.walk(rootDirectory) for name in sorted(names)]
