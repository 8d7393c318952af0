"""Start gateway: settings, clients, HTTP."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random

import uvicorn

from catseye.kafka.registry import codec_for
from catseye.rights.tokens import Tokens
from catseye.runtime.service import Process, run_process
from catseye.view.keys import Keys
from services.gateway import NAME
from services.gateway.activation import Activations
from services.gateway.answers import Answers
from services.gateway.app import application
from services.gateway.door import Gateway
from services.gateway.listening import listening
from services.gateway.live import Live
from services.gateway.model import ReadModel
from services.gateway.offers import Offers
from services.gateway.oidc import Oidc
from services.gateway.outbox import Outbox
from services.gateway.pictures import Pictures
from services.gateway.rights import Rights
from services.gateway.settings import GatewaySettings

_STOP_CHECK_S = 0.2


class Server(uvicorn.Server):
    """Leaves signals to the process: they set `Process.stop`."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def work(process: Process[GatewaySettings]) -> None:
    asyncio.run(_serve(process))


async def _serve(process: Process[GatewaySettings]) -> None:
    settings = process.settings
    codec = await asyncio.to_thread(codec_for, settings)
    model = ReadModel(settings.redis_url, Keys(settings.topic_prefix))
    oidc = Oidc(settings) if settings.oidc_issuer else None
    gateway = Gateway(
        settings=settings,
        rights=Rights(
            Tokens(settings.tokens_path),
            settings.gateway_host,
            settings.gateway_requests_per_s,
            sessions=oidc.sessions if oidc else None,
        ),
        outbox=Outbox(settings, codec),
        answers=Answers(settings, codec),
        model=model,
        live=Live(model, settings.gateway_streams_most),
        pictures=Pictures(settings, codec),
        offers=Offers(model, int(settings.label_horizon_h * 3_600_000), Random()),
        activations=Activations(settings),
        oidc=oidc,
    )
    door = listening(settings.gateway_host, settings.gateway_port)
    await gateway.outbox.start()
    await gateway.answers.start()
    config = uvicorn.Config(
        application(gateway),
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=1,  # who never reads is waited for so long; all is over within 3 s
        h11_max_incomplete_event_size=65_536,
    )
    server = Server(config)
    try:
        await _run(process, server, gateway, door)
    finally:
        await gateway.outbox.stop()
        await model.close()
        gateway.pictures.close()


async def _run(process: Process[GatewaySettings], server: Server, gateway: Gateway, door: socket.socket) -> None:
    serving = asyncio.create_task(server.serve(sockets=[door]))
    is_ready = False
    while not serving.done():
        process.health.beat()
        if server.started and not is_ready:
            is_ready = True
            process.health.assigned(0, ready=True)
            port = door.getsockname()[1]
            process.logger.info("pages", url=f"http://{gateway.settings.gateway_host}:{port}/")
        if process.stop.is_set():
            gateway.live.stop()
            server.should_exit = True
        await asyncio.sleep(_STOP_CHECK_S)
    await serving


if __name__ == "__main__":
    run_process(NAME, GatewaySettings, work)
