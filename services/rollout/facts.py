"""What an event changes in what is known of a model, whatever led to it; `steps` has what follows of it."""

from msgspec.structs import replace

from catseye.contract.records import ModelEvent, Stage
from services.rollout.rollout_state import ModelState


def noted(known: ModelState, event: ModelEvent, stage: Stage | None, *, anyone_serves: bool) -> ModelState:
    """What is known of a model once *event* stands in the register.

    Args:
        known: What was known before.
        event: One that was not known before.
        stage: Of the same version before it; None for a new one.
        anyone_serves: Whether there is a champion, of any name.
    """
    version = event.version
    match event.stage:
        case "candidate":
            # One that is announced once more, after a crash of who announced it, stays what it became.
            has_place = version in (known.champion, *known.queue)
            is_new = stage in (None, "rejected", "retired") and not has_place
            return replace(known, queue=(*known.queue, version)) if is_new else known
        case "shadow":
            return known if _is_under_way(known, version) else closed(known, first=version)
        case "champion":
            if version == known.champion or (event.cameras and anyone_serves):  # a canary is not the champion
                return known
            return replace(_undone(known).promoted(version), probation_due=bool(known.champion))
        case _:  # rejected or retired
            comparison = known.comparison
            if comparison is not None and version in (comparison.new, comparison.old):
                known = closed(known)
            return replace(known, queue=_without(known.queue, version))


def replaced(known: ModelState) -> ModelState:
    """A model of another name serves all cameras: nothing of this one is compared until one of it is champion again."""
    former = (known.champion, *known.former) if known.champion else known.former
    return replace(_undone(known), champion="", former=former, probation_due=False)


def _undone(known: ModelState) -> ModelState:
    """No comparison runs any more, and no probation begins."""
    if known.probation_due:  # the one before may be the shadow already, of a probation that never begins
        known = replace(known, idle=(*known.idle, known.former[0]))
    return closed(known)


def _is_under_way(known: ModelState, version: str) -> bool:
    """Whether a version that becomes a shadow changes nothing: it is the champion, or compared with it already."""
    if known.comparison is not None:
        return version in (known.champion, known.comparison.new, known.comparison.old)
    return version == known.champion or (known.probation_due and version == known.former[0])


def closed(known: ModelState, first: str = "") -> ModelState:
    """No comparison runs any more: *first* is the next to be compared, and after it whoever was under way."""
    comparison, queue, idle = known.comparison, _without(known.queue, first), known.idle
    if comparison is not None and comparison.probation:
        idle = (*idle, comparison.old)
    elif comparison is not None:
        queue = (comparison.new, *queue)
    return replace(known, comparison=None, queue=(first, *queue) if first else queue, idle=idle)


def _without(queue: tuple[str, ...], version: str) -> tuple[str, ...]:
    return tuple(other for other in queue if other != version)
