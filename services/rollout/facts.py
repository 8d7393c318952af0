"""What an event changes in what is known of a model, whatever led to it; what follows of it, the steps say."""

from msgspec.structs import replace

from catseye.contract.records import ModelEvent, Stage
from services.rollout.book import Line


def noted(line: Line, event: ModelEvent, stage: Stage | None) -> Line:
    """What is known of a model once *event* stands in the register.

    Args:
        line: What was known before.
        event: One that was not known before.
        stage: Of the same version before it; None for a new one.
    """
    version = event.version
    match event.stage:
        case "candidate":
            # One that is announced once more, after a crash of who announced it, stays what it became.
            is_new = stage in (None, "rejected", "retired") and version != line.champion
            return replace(line, queue=(*line.queue, version)) if is_new else line
        case "shadow":
            return line if _is_under_way(line, version) else closed(line, first=version)
        case "champion":
            if version == line.champion or (event.cameras and line.champion):  # a canary is not the champion
                return line
            if line.probation_due:  # the one before may be the shadow already, of a probation that never begins
                line = replace(line, idle=(*line.idle, line.former[0]))
            return replace(closed(line).crowned(version), probation_due=bool(line.champion))
        case _:  # rejected or retired
            comparison = line.comparison
            if comparison is not None and version in (comparison.new, comparison.old):
                line = closed(line)
            return replace(line, queue=_without(line.queue, version))


def _is_under_way(line: Line, version: str) -> bool:
    """Whether a version that becomes a shadow changes nothing: it is the champion, or compared with it already."""
    if line.comparison is not None:
        return version in (line.champion, line.comparison.new, line.comparison.old)
    return version == line.champion or (line.probation_due and version == line.former[0])


def closed(line: Line, first: str = "") -> Line:
    """No comparison runs any more: *first* is the next to be compared, and after it whoever was under way."""
    comparison, queue, idle = line.comparison, _without(line.queue, first), line.idle
    if comparison is not None and comparison.probation:
        idle = (*idle, comparison.old)
    elif comparison is not None:
        queue = (comparison.new, *queue)
    return replace(line, comparison=None, queue=(first, *queue) if first else queue, idle=idle)


def _without(queue: tuple[str, ...], version: str) -> tuple[str, ...]:
    return tuple(other for other in queue if other != version)
