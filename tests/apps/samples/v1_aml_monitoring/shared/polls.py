from collections import Counter

_polls: Counter = Counter()


def next_status(run_id: str) -> str:
    _polls[run_id] += 1
    return "Finished" if _polls[run_id] > 1 else "Running"
