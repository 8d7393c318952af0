"""Small videos, made by the package that the tests have for it, and servers on loopback that play them."""

import base64
import contextlib
import hashlib
import re
import socket
import threading
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

FPS = 25


def grey(number: int, height: int = 48, width: int = 64) -> np.ndarray:
    """Picture *number*: a level of its own, and a pattern that no codec takes for nothing."""
    rows, columns = np.mgrid[:height, :width]
    level = 40 + 4 * number + ((rows // 8 + columns // 8) % 2) * 20
    return np.repeat(level[..., None], 3, axis=2).astype(np.uint8)


def write_video(
    file: Path | str,
    pictures: list[np.ndarray],
    *,
    codec: str = "libx264",
    format_: str | None = None,
    stamps_ms: list[int] | None = None,
    pixels: str = "yuv420p",
    gop: int = 12,
    sound: bool = False,
) -> None:
    """Encode *pictures* (rows, columns, RGB) to *file*."""
    height, width = pictures[0].shape[:2]
    quiet = {"x265-params": f"log-level=none:keyint={gop}"} if codec == "libx265" else {}
    with av.open(str(file), "w", format=format_) as container:
        stream: Any = container.add_stream(codec, rate=FPS, options={"g": str(gop), **quiet})
        stream.width, stream.height, stream.pix_fmt = width, height, pixels
        stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
        if sound:
            container.add_stream("aac", rate=8000)
        for number, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, "rgb24")
            frame.pts = stamps_ms[number] if stamps_ms else number * 1000 // FPS
            frame.time_base = Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def road(cars: int, first: int = 20) -> Iterator[np.ndarray]:
    """Pictures of a road on which so many cars drive by to the right, one after the other, 40 pictures apart, from
    picture *first* on."""
    rng = np.random.default_rng(3)
    empty = np.repeat(rng.integers(70, 110, (180, 320, 1), dtype=np.uint8), 3, axis=2)
    for number in range(40 * cars + 70 + first):
        picture = empty.copy()
        for car in range(cars):
            left = 6 * (number - first - 40 * car) - 60
            if -60 < left < 320:
                picture[60:90, max(0, left) : left + 60] = 220
                picture[68:82, max(0, left + 20) : max(0, left + 40)] = 30
        yield picture


def write_sound(file: Path) -> None:
    """A second of silence, and no picture."""
    with av.open(str(file), "w") as container:
        stream: Any = container.add_stream("aac", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.float32), format="fltp", layout="mono")
        frame.rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())


def rtp_packets(pictures: list[np.ndarray], codec: str = "libx264") -> list[bytes]:
    """What a camera would send of *pictures*, as RTP."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as camera:
        camera.bind(("127.0.0.1", 0))
        camera.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**20)
        port = camera.getsockname()[1]
        write_video(f"rtp://127.0.0.1:{port}?pkt_size=1200", pictures, codec=codec, format_="rtp", gop=FPS)
        camera.setblocking(False)  # all of it waits here
        found: list[bytes] = []
        with contextlib.suppress(BlockingIOError):
            while True:
                found.append(camera.recv(65_536))
    return [packet for packet in found if not 72 <= packet[1] & 0x7F <= 76]  # without RTCP


def joined(*streams: list[bytes], jumps_s: float = 0.0) -> list[bytes]:
    """Streams of RTP as one that goes on: numbered through, from one source.

    Args:
        streams: Packets of each, of pictures 1/25 s apart.
        jumps_s: How far the clock jumps from one to the next, besides; back where it is negative.
    """
    found: list[bytes] = []
    after = 0
    for part in streams:
        began = int.from_bytes(part[0][4:8], "big")
        shift = after - began
        for packet in part:
            stamp = int.from_bytes(packet[4:8], "big") + shift
            after = stamp + 90_000 // FPS
            head = len(found).to_bytes(2, "big") + (stamp % 2**32).to_bytes(4, "big") + b"road"
            found.append(packet[:2] + head + packet[12:])
        after += round(90_000 * jumps_s)
    return found


class RtspServer:
    """A camera's RTSP server, over TCP alone: plays *packets*, then ends, or is silent, as it is told.

    Args:
        packets: RTP packets of one video stream.
        encoding: `H264` or `H265`.
        password: What ``user:…`` must give; None for nobody.
        digest: Whether it must be given by Digest authentication, as most cameras ask for, and not by Basic.
        then: What comes after the last packet: `end` closes, `silence` sends nothing more, `again` begins anew.
        video: Whether its session has a video stream at all.
        after: What later sessions play, and are silent then; None for the same again.
    """

    def __init__(
        self,
        packets: list[bytes],
        *,
        encoding: str = "H264",
        password: str | None = None,
        digest: bool = False,
        then: str = "end",
        video: bool = True,
        after: list[bytes] | None = None,
    ) -> None:
        self._digest, self._after = digest, after
        self.packets, self.encoding, self.password, self.then, self.video = packets, encoding, password, then, video
        self.sessions = 0
        self._open = True
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._socket.getsockname()[1])
        self._clients: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def address(self) -> str:
        """Of its stream."""
        user = "" if self.password is None else f"user:{self.password}@"
        return f"rtsp://{user}127.0.0.1:{self.port}/road"

    def close(self) -> None:
        """Everybody is cut off."""
        self._open = False
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self.cut()

    def cut(self) -> None:
        """As when a camera is switched off and on."""
        for client in self._clients:
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._socket.accept()
                self._clients.append(client)
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError), client, client.makefile("rb") as lines:
            for method, headers in _requests(lines):
                number = f"CSeq: {headers.get('cseq', '0')}\r\n"
                if not self._lets_in(method, headers.get("authorization", "")):
                    asks = 'Digest realm="road", nonce="n1"' if self._digest else 'Basic realm="road"'
                    client.sendall(f"RTSP/1.0 401 Unauthorized\r\n{number}WWW-Authenticate: {asks}\r\n\r\n".encode())
                    continue
                body = self._description() if method == "DESCRIBE" else ""
                extra = {
                    "OPTIONS": "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN, GET_PARAMETER\r\n",
                    "DESCRIBE": f"Content-Type: application/sdp\r\nContent-Length: {len(body)}\r\n",
                    "SETUP": "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\nSession: 1\r\n",
                }.get(method, "Session: 1\r\n")
                client.sendall(f"RTSP/1.0 200 OK\r\n{number}{extra}\r\n{body}".encode())
                if method == "PLAY":
                    self.sessions += 1
                    self._play(client)

    def _lets_in(self, method: str, given: str) -> bool:
        if self.password is None:
            return True
        if not self._digest:
            return given == f"Basic {_basic(self.password)}"
        place = re.search(r'uri="([^"]*)"', given)
        who, what = _md5(f"user:road:{self.password}"), _md5(f"{method}:{place[1] if place else ''}")
        return f'response="{_md5(f"{who}:n1:{what}")}"' in given

    def _play(self, client: socket.socket) -> None:
        playing, then = True, self.then
        while playing and self._open:
            for packet in self.packets:
                client.sendall(b"$\0" + len(packet).to_bytes(2, "big") + packet)
            playing = then == "again"
            time.sleep(0.05)
        if self._after is not None:
            self.packets, self.then, self._after = self._after, "silence", None
        while then == "silence" and self._open:
            time.sleep(0.05)
        client.shutdown(socket.SHUT_RDWR)

    def _description(self) -> str:
        media = (
            f"m=video 0 RTP/AVP 96\r\na=rtpmap:96 {self.encoding}/90000\r\na=control:trackID=0\r\n"
            if self.video
            else "m=audio 0 RTP/AVP 0\r\na=control:trackID=0\r\n"
        )
        return f"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=road\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\n{media}"


def _requests(lines: Iterator[bytes]) -> Iterator[tuple[str, dict[str, str]]]:
    """Method and headers of each request."""
    request: list[str] = []
    for line in lines:
        if line.strip():
            request.append(line.decode(errors="replace").strip())
        elif request:
            parts = (each.partition(":") for each in request[1:])
            headers = {name.strip().lower(): value.strip() for name, _, value in parts}
            yield request[0].partition(" ")[0], headers
            request = []


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def _basic(password: str) -> str:
    return base64.b64encode(f"user:{password}".encode()).decode()
