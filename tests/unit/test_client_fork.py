"""What a process that was forked does with the SDK of its parent. A server that forks would lose frames silently."""

import os
import subprocess
import sys

import pytest

_BEFORE = """
import os
from catseye.client import Forked, Publisher
from catseye.settings import Settings

class Nowhere:
    def produce(self, *_, **__): pass
    def poll(self, *_): return 0
    def flush(self, *_): return 0
    def close(self): pass

settings = Settings(kafka_bootstrap_servers="nowhere:1")
"""
_AFTER = """
def tried(where):
    try:
        use()
    except Forked as fault:
        print(where, "raised:", fault, flush=True)
    else:
        print(where, "went on", flush=True)

tried("parent")
if os.fork() == 0:
    tried("child")
    os._exit(0)
os.wait()
tried("parent")
"""
_PUBLISHER = "publisher = Publisher(settings, camera='gate', outbox=Nowhere())\n"
_SUBSCRIPTION = """
from catseye.client.reading import Reading
from catseye.client.subscription import Subscription
from catseye.contract.codec import Codec
subscription = Subscription(Reading("alerts", "t.", None, print), Codec(), Nowhere(), commits=False, timeout_s=None)
"""


@pytest.mark.parametrize(
    "used",
    [
        f"from catseye.cli.doctor import GREY\n{_PUBLISHER}use = lambda: publisher.publish(GREY)",
        f"{_PUBLISHER}use = lambda: publisher.label('gate', 'b7', 1, 'car')",
        f"{_PUBLISHER}use = publisher.close",
        f"{_SUBSCRIPTION}use = subscription.close",
    ],
    ids=["publish", "label", "close", "subscription"],
)
def test_a_client_of_the_parent_is_refused_in_the_child(used: str) -> None:
    """The child is told what to do, the parent goes on."""
    ran = subprocess.run(
        [sys.executable, "-c", _BEFORE + used + _AFTER],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    first, child, last = ran.stdout.splitlines()
    assert first == last == "parent went on"
    assert child.startswith("child raised: this was made by process")
    assert "of its own in each process, after the fork" in child
