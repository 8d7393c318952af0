"""The SDK: publish frames, say what they showed, subscribe to what Catseye says of them.

Plain Python here, asyncio under the same names in `catseye.client.aio`. Both read the settings that the services
read (`catseye settings` lists them), so that `KAFKA_BOOTSTRAP_SERVERS` is mostly all that is needed.
"""

from catseye.client.drafts import FrameId, Sighting
from catseye.client.process import Forked
from catseye.client.publisher import Publisher, Undelivered
from catseye.client.reading import Unreadable
from catseye.client.subscription import Subscription, subscribe

__all__ = ["Forked", "FrameId", "Publisher", "Sighting", "Subscription", "Undelivered", "Unreadable", "subscribe"]
