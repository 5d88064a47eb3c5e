"""Fan-out/fan-in: an activity finds the work, one for each piece does it, all at once, and the results meet."""

from pathlib import Path

import azure.durable_functions as df

TEXTS = Path(__file__).parent / "texts"

bp = df.Blueprint()


@bp.orchestration_trigger(context_name="context")
def fan_out(context: df.DurableOrchestrationContext):
    """Count the words of every text in the folder `texts`."""
    names = yield context.call_activity("list_texts")
    counts = yield context.task_all([context.call_activity("count_words", name) for name in names])
    return {"texts": dict(zip(names, counts, strict=True)), "words": sum(counts)}


@bp.activity_trigger(input_name="nothing")
def list_texts(nothing) -> list:
    return sorted(path.name for path in TEXTS.glob("*.txt"))


@bp.activity_trigger(input_name="name")
def count_words(name: str) -> int:
    return len((TEXTS / name).read_text(encoding="utf-8").split())
