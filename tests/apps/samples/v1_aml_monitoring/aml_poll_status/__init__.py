import json

from ..shared.polls import next_status


def main(name: str) -> str:
    return next_status(json.loads(name)["run_id"])
