"""A gateway with event streams alone, on a Redis that is there: `python -m infra.benches.peers.events URL PORT`.

The parts are the gateway's own; no broker is needed for what it tells pages.
"""

import asyncio
import signal
import sys
from threading import Event
from types import SimpleNamespace
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.routing import Route

from catseye.view.keys import Keys
from services.gateway import reading
from services.gateway.__main__ import Server
from services.gateway.live import Live
from services.gateway.model import ReadModel
from services.gateway.rights import LOCAL
from services.gateway.settings import GatewaySettings


async def main(url: str, port: int) -> None:
    settings = GatewaySettings(redis_url=url, topic_prefix="bench.")
    model = ReadModel(url, Keys(settings.topic_prefix))
    live = Live(model, settings.gateway_streams_most)
    gateway: Any = SimpleNamespace(live=live, model=model, settings=settings)

    async def events(request: Any) -> Any:
        return await reading.events(gateway, request, LOCAL)

    server = Server(
        uvicorn.Config(
            Starlette(routes=[Route("/v1/events", events)]),
            host="127.0.0.1",
            port=port,
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=1,
        )
    )
    stop = Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    following = asyncio.create_task(live.run())
    serving = asyncio.create_task(server.serve())
    while not serving.done():  # as `services.gateway.__main__` does
        if stop.is_set():
            live.stop()
            server.should_exit = True
        await asyncio.sleep(0.2)
    following.cancel()
    await model.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
