"""Draw the flow picture of the README from READS and WRITES of every service and the table of topics.

`python -m infra.local.generate_flow` writes it between the markers; a test compares it with what this would draw.
"""

import importlib
import re

from catseye.contract.topics import BY_NAME, TOPICS
from infra.local.jvm import ROOT

README = ROOT / "README.md"
BEGIN, END = "<!-- flow: generated, see infra/local/generate_flow.py -->", "<!-- /flow -->"
COMMANDS = ("alert.commands", "training.requests", "model.commands")
WRITTEN_BY_PEOPLE = (*(topic.name for topic in TOPICS if topic.public), "models", *COMMANDS)
READ_BY_PEOPLE = ("predictions", "outcomes", "labels.unmatched", "dead-letters", "alerts", "statistics")


def generated() -> str:
    """The picture, in Mermaid, between its markers."""
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
    return "\n".join([BEGIN, "```mermaid", *lines, "```", END])


def _services() -> dict[str, tuple[tuple[str, ...], tuple[str, ...]]]:
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


def replaced(readme: str) -> str:
    """*readme* with today's picture in it."""
    before, rest = readme.split(BEGIN)
    return before + generated() + rest.split(END, 1)[1]


if __name__ == "__main__":
    README.write_text(replaced(README.read_text()))
