"""Who writes what: each event has one writing service, each command and each public topic none of them."""

import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from catseye.contract.topics import TOPICS

ROOT = Path(__file__).parents[2]
OF_PUBLISHERS = ("frames", "labels")
COMMANDS = ("alert.commands", "training.requests", "model.commands", "labels.suspects")
OF_ALL = ("dead-letters", "heartbeats")
PUBLISHERS = ("simulator",)
"""Services that stand outside: they write what a publisher writes."""
ASKS = {"trainer": ("model.commands", "labels.suspects"), "gateway": COMMANDS}
"""Services that send commands to another one; of the gateway they are people's."""
PUBLISHES = {"gateway": OF_PUBLISHERS}
"""Services through which people publish."""


def writers() -> dict[str, list[str]]:
    """Services that declare that they write a topic, for every topic of the table."""
    found: dict[str, list[str]] = {topic.name: [] for topic in TOPICS}
    for folder in sorted((ROOT / "services").iterdir()):
        if (folder / "__init__.py").exists() and folder.name not in PUBLISHERS:
            for name in importlib.import_module(f"services.{folder.name}").WRITES:
                found[name].append(folder.name)
    return found


def faults(written_by: Mapping[str, Sequence[str]]) -> list[str]:
    """What is not as it should be."""
    found = []
    for topic, services in written_by.items():
        if topic in OF_ALL:
            continue
        if topic in OF_PUBLISHERS:
            wrong = any(topic not in PUBLISHES.get(service, ()) for service in services)
        elif topic in COMMANDS:
            wrong = any(topic not in ASKS.get(service, ()) for service in services)
        else:
            wrong = len(services) != 1
        if wrong:
            found.append(f"{topic}: {', '.join(services) or 'nobody'}")
    return found


def test_each_event_has_one_writing_service() -> None:
    """Commands are written by people and by who asks another service; dead letters and heartbeats by all."""
    assert faults(writers()) == []


def test_a_second_writer_is_noticed() -> None:
    """Negative control: another writer, none at all, or a service that writes a person's command."""
    right = writers()
    assert faults(right | {"alerts": ["incidents", "rollout"]}) == ["alerts: incidents, rollout"]
    assert faults(right | {"models": []}) == ["models: nobody"]
    assert faults(right | {"frames": ["gateway", "drift"]}) == ["frames: gateway, drift"]
    assert faults(right | {"alert.commands": ["incidents"]}) == ["alert.commands: incidents"]
