"""Draw the picture and the table of topics in schemas/README.md.

READS and WRITES of every service and the table of topics say what stands there. `python -m infra.local.generate_flow`
writes both between their markers; a test compares them with what this would write.
"""

import importlib
import re
from collections.abc import Callable

from catseye.contract.topics import BY_NAME, TOPICS, Kept
from infra.local.jvm import ROOT

PAGE = ROOT / "schemas" / "README.md"
WRITTEN_BY_PEOPLE = ("frames", "labels", "alert.commands", "training.requests", "model.commands")
READ_BY_PEOPLE = (
    "predictions",
    "outcomes",
    "vehicles",
    "vehicles.outcomes",
    "vehicles.counts",
    "labels.unmatched",
    "dead-letters",
    "alerts",
    "statistics",
    "retraining",
    "models",
    "notifications",
)
_KEPT = {
    Kept.SHORT: "a day",
    Kept.DAYS: "7 days",
    Kept.WEEKS: "30 days",
    Kept.HORIZON: "label horizon and margin",
    Kept.FOR_EVER: "for ever",
    Kept.COMPACTED: "last record of each key",
}
Ends = dict[str, tuple[tuple[str, ...], tuple[str, ...]]]
"""READS and WRITES of each service."""


def picture() -> str:
    """The flow, in Mermaid."""
    services = _services()
    topics = {name for reads, writes in services.values() for name in (*reads, *writes)}
    lines = ["flowchart LR", "  people([people and programs])"]
    lines += [f"  {name}[{name.replace('_', ' ')}]" for name in services]
    lines += [f"  {_node(topic.name)}[/{topic.name}/]" for topic in TOPICS if topic.name in topics]
    for name, (reads, writes) in services.items():
        lines += [f"  {_node(topic)} --> {name}" for topic in reads]
        lines += [f"  {name} --> {_node(topic)}" for topic in writes if not topic.endswith(".state")]
        lines += [f"  {name} <--> {_node(topic)}" for topic in writes if topic.endswith(".state")]
    lines += [f"  people --> {_node(name)}" for name in WRITTEN_BY_PEOPLE if name in topics]
    lines += [f"  {_node(name)} --> people" for name in READ_BY_PEOPLE if name in topics]
    return "\n".join(["```mermaid", *lines, "```"])


def table() -> str:
    """Topics that carry records: record, key, how long it is kept, who writes it."""
    services = _services()
    lines = ["| topic | record | key | kept | written by |", "| --- | --- | --- | --- | --- |"]
    for topic in TOPICS:
        if topic.record is None:
            continue
        writers = [name.replace("_", " ") for name, (_, writes) in services.items() if topic.name in writes]
        if topic.name in WRITTEN_BY_PEOPLE:
            writers = ["people and programs", *writers]
        key = ", ".join(topic.key)
        lines.append(
            f"| `{topic.name}` | {topic.record.__name__} | {key} | {_KEPT[topic.kept]} | {', '.join(writers)} |"
        )
    return "\n".join(lines)


PARTS: dict[str, Callable[[], str]] = {"flow": picture, "topics": table}
"""What stands between the markers of each name."""


def replaced(page: str) -> str:
    """*page* with today's picture and table in it. Raises ValueError where a marker is missing."""
    for name, made in PARTS.items():
        begin, end = f"<!-- {name}: generated, see infra/local/generate_flow.py -->", f"<!-- /{name} -->"
        before, rest = page.split(begin)
        page = f"{before}{begin}\n{made()}\n{end}" + rest.split(end, 1)[1]
    return page


def _services() -> Ends:
    """READS and WRITES of each service that meets others at topics. Raises KeyError for a topic not in the table."""
    found = {}
    for folder in sorted((ROOT / "services").iterdir()):
        if (folder / "__init__.py").exists():
            service = importlib.import_module(f"services.{folder.name}")
            for name in (*service.READS, *service.WRITES):
                BY_NAME[name]
            if service.READS or service.WRITES:
                found[folder.name] = (service.READS, service.WRITES)
    return found


def _node(topic: str) -> str:
    return "topic_" + re.sub(r"\W", "_", topic)


if __name__ == "__main__":
    PAGE.write_text(replaced(PAGE.read_text()))
