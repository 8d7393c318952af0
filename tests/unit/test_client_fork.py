"""What a process that was forked does with the SDK of its parent. A server that forks would lose frames silently."""

import os
import subprocess
import sys

import pytest

_BEFORE = """
import asyncio
import os
from types import SimpleNamespace
from catseye.cli.doctor import GREY
from catseye.client import Forked, Publisher, aio
from catseye.client.reading import Reading
from catseye.client.subscription import Subscription
from catseye.contract.codec import Codec
from catseye.contract.records import Alert
from catseye.settings import Settings

class Nowhere:
    def produce(self, *_, **__): pass
    def poll(self, *_): return 0
    def flush(self, *_): return 0
    def close(self): pass

class NoRecord(Nowhere):
    def poll(self, *_): return None

class Elsewhere:
    async def start(self): pass
    async def stop(self): pass
    async def send_and_wait(self, *_): pass

settings = Settings(kafka_bootstrap_servers="nowhere:1")

def publisher():
    return Publisher(settings, camera="gate", outbox=Nowhere())

def subscription():
    return Subscription(Reading("alerts", "t.", None, print), Codec(), NoRecord(), commits=False, timeout_s=0.0)

def done(awaited):
    return asyncio.new_event_loop().run_until_complete(awaited)

def aio_publisher():
    made = aio.Publisher(settings, camera="gate", outbox=Elsewhere())
    done(made.start())
    return made

def aio_subscription():
    return aio.Subscription(
        Reading("alerts", "t.", None, print), settings, group=None, from_="now", timeout_s=0.0, inbox=Elsewhere()
    )
"""
_USES = {
    "publish": "publisher, lambda it: it.publish(GREY)",
    "label": "publisher, lambda it: it.label('gate', 'b7', 1, 'car')",
    "flush": "publisher, Publisher.flush",
    "close": "publisher, Publisher.close",
    "read": "subscription, lambda it: next(it, None)",
    "leave": "subscription, Subscription.close",
    "publish in asyncio": "aio_publisher, lambda it: done(it.publish(GREY))",
    "label in asyncio": "aio_publisher, lambda it: done(it.label('gate', 'b7', 1, 'car'))",
    "close in asyncio": "aio_publisher, lambda it: done(it.close())",
    "leave in asyncio": "aio_subscription, lambda it: done(it.close())",
}
_AFTER = """
def tried(one):
    try:
        use(one)
    except Forked as fault:
        print(fault, flush=True)
    else:
        print("went on", flush=True)

one = make()
tried(one)
if os.fork() == 0:
    tried(one)
    tried(make())
    os._exit(0)
os.wait()
tried(one)
"""


@pytest.fixture(scope="module")
def printed() -> list[list[str]]:
    """For each use the lines of the parent, of the child with the parent's client and with its own, of the parent."""
    program = _BEFORE + "".join(f"make, use = {use}\n{_AFTER}" for use in _USES.values())
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    ran = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    lines = ran.stdout.splitlines()
    return [lines[at : at + 4] for at in range(0, len(lines), 4)]


@pytest.mark.parametrize("number", range(len(_USES)), ids=_USES)
def test_a_client_of_the_parent_is_refused_in_the_child(printed: list[list[str]], number: int) -> None:
    """The child is told what to do, does so and goes on, as the parent does."""
    first, child, own, last = printed[number]
    assert first == own == last == "went on"
    assert child.startswith("this was made by process")
    assert "of its own in each process, after the fork" in child
