"""The child that decodes: ``python -m catseye.video.decoder MEMORY MESSAGES``, two file descriptors.

It reads its order on standard input, then a byte for each slot that it gets back; when that ends, so does the child.
Whatever a file does to FFmpeg happens here, with bounded memory, and costs the parent one opening.
"""

from __future__ import annotations

import mmap
import os
import resource
import signal
import sys
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from catseye.clock import now_ms
from catseye.video.damage import Damage, reports_damage
from catseye.video.faults import Because
from catseye.video.messages import Alive, Count, Ended, Message, Opened, Order, Shown, length_of, order_of, packed
from catseye.video.times import CaptureClock, Thinning, Timeline

if TYPE_CHECKING:
    import av.container
    import av.packet
    import av.video.frame
    import av.video.stream

MEMORY_MAX_BYTES: Final = 3 * 2**29  # 16 references of 16 Mpx take 400 MB
_ALIVE_EACH_S: Final = 1.0
_LATEST_S: Final = 1.0  # a picture of a live stream waits for room no longer than this after it was taken
_RATE: Final = 25.0  # where a video does not say
# No `tty`, which draws each text file, no `image2`, no `concat` and `lavfi`, which read what they are told to.
_FORMATS: Final = (
    "asf,av1,avi,dhav,dv,flv,h264,hevc,hls,ivf,m4v,matroska,mjpeg,mov,mpeg,mpegts,mpegvideo,mpjpeg,mxf,nut,obu,ogg,rtp,"
    "rtsp,sdp,video4linux2,vc1,webm"
)
_FILE_PROTOCOLS: Final = "file"
_STREAM_PROTOCOLS: Final = "crypto,http,httpproxy,https,rtmp,rtmps,rtp,rtsp,rtsps,srt,srtp,tcp,tls,udp"
_BT709: Final = frozenset({1, 9, 10})  # and BT.2020, which is near it
_JPEG_RANGE: Final = 2


class _Over(Exception):
    """This opening gives no more."""

    def __init__(self, because: Because, detail: str = "") -> None:
        super().__init__(detail)
        self.because = because
        self.detail = detail


class Link:
    """Messages to the parent, and slots of the memory that both see.

    Args:
        memory: What both see.
        messages: File descriptor of a pipe to the parent.
        order: How many slots there are.
    """

    def __init__(self, memory: mmap.mmap, messages: int, order: Order) -> None:
        self.memory = memory
        self._messages = messages
        self._order = order
        self._free = list(range(order.slots))
        self._given_back = threading.Condition()
        self._reported_s = time.monotonic()
        self.damaged = 0
        self.late = 0
        self.thinned = 0

    @property
    def dropped(self) -> Count:
        """Until now."""
        return Count(self.damaged, self.late, self.thinned)

    def read_given_back(self) -> None:
        """Take slots back for as long as the parent lives; then end the process, whatever it does."""
        while given_back := os.read(0, 64):
            with self._given_back:
                self._free += given_back
                self._given_back.notify()
        os._exit(0)

    def slot(self, *, patience_s: float | None) -> int | None:
        """A slot of nobody's, waited for so long; None where there is none. Without a patience it is waited for."""
        with self._given_back:
            return self._free.pop() if self._given_back.wait_for(lambda: self._free, patience_s) else None

    def send(self, message: Message) -> None:
        """Write a message."""
        left = memoryview(packed(message))
        while left:
            left = left[os.write(self._messages, left) :]
        self._reported_s = time.monotonic()

    def still_here(self) -> None:
        """Say so, now and then."""
        if time.monotonic() - self._reported_s > _ALIVE_EACH_S:
            self.send(Alive(self.dropped))


def main() -> None:
    """Decode what the parent asks for."""
    for signum in (signal.SIGINT, signal.SIGTERM):  # for whoever asked for the pictures, who ends this then
        signal.signal(signum, signal.SIG_IGN)
    _bound_memory()
    memory_fd, messages_fd = (int(argument) for argument in sys.argv[1:])
    order = order_of(_exactly(length_of(_exactly(4))))
    link = Link(mmap.mmap(memory_fd, order.slots * order.slot_bytes), messages_fd, order)
    threading.Thread(target=link.read_given_back, daemon=True).start()
    try:
        _decode(order, link)
    except _Over as over:
        link.send(Ended(over.because, over.detail, link.dropped))
    except MemoryError:
        link.send(Ended(Because.TOO_LARGE, "decoding it takes too much memory", link.dropped))
    os._exit(0)  # no destructor of a demuxer hangs here


def _bound_memory() -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_MAX_BYTES, MEMORY_MAX_BYTES))


def _exactly(count: int) -> bytes:
    """So many bytes of standard input; fewer end the process, as the parent is gone."""
    found = b""
    while len(found) < count:
        piece = os.read(0, count - len(found))
        if not piece:
            os._exit(0)
        found += piece
    return found


def _decode(order: Order, link: Link) -> None:
    """Show all pictures. Raises `_Over` at the end, whatever it is."""
    import av  # noqa: PLC0415 - in this process alone
    import av.logging  # noqa: PLC0415

    av.logging.set_level(av.logging.WARNING)
    av.logging.set_skip_repeated(False)
    with av.logging.Capture(local=True) as log:
        began_s = time.monotonic()
        try:
            container = av.open(**_opening(order))
        except (av.FFmpegError, OSError, ValueError) as fault:
            raise _refused(fault, order, time.monotonic() - began_s, [line for _, _, line in log]) from fault
        stream = _stream(container)
        link.send(Opened(stream.codec_context.name, live := order.address and container.duration is None))
        show = _Show(order, link, stream, live=live)
        try:
            for number, packet in enumerate(_packets(container, stream)):
                show.packet(number, packet, log)
        except av.FFmpegError as fault:
            if isinstance(fault, av.error.EOFError):
                raise _Over(Because.END) from fault
            if order.address and isinstance(fault, (av.error.ExitError, TimeoutError)):
                raise _Over(Because.SILENT, f"no byte came for {order.read_timeout_s:g} s") from fault
            raise _Over(Because.BROKEN, _words(fault)) from fault
        if not show.shown and not link.damaged:
            raise _Over(Because.NO_PICTURE, "is it a video?")
        if not show.shown:
            raise _Over(Because.NO_PICTURE, f"all {link.damaged} are damaged")
        raise _Over(Because.END)


def _packets(container: Any, stream: av.video.stream.VideoStream) -> Iterator[av.packet.Packet[Any]]:
    """Of the stream, to the end. Raises `_Over`, FFmpeg's errors."""
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets)
        except StopIteration:
            return
        except IndexError as fault:  # PyAV 18.1 looks for the packet's stream among those that were there at first
            raise _Over(Because.BROKEN, "another stream has begun in it") from fault
        yield packet


def _opening(order: Order) -> dict[str, Any]:
    """What `av.open` is asked for."""
    options = {"format_whitelist": _FORMATS, "max_pixels": str(order.max_pixels)}
    if not order.address:
        if order.source.startswith("/dev/"):
            return {"file": order.source, "format": "video4linux2", "options": options}
        # So that no name is an address or a pattern.
        return {"file": f"file:{order.source}", "options": options | {"protocol_whitelist": _FILE_PROTOCOLS}}
    if order.source.startswith("file:"):
        options["protocol_whitelist"] = _FILE_PROTOCOLS
    else:
        options["protocol_whitelist"] = _STREAM_PROTOCOLS
    if order.source.startswith("rtsp"):
        options["rtsp_flags"] = "prefer_tcp"  # UDP loses packets and does not say so
    timeout = (order.open_timeout_s, order.read_timeout_s)
    return {"file": order.source, "options": options, "timeout": timeout}


def _stream(container: Any) -> av.video.stream.VideoStream:
    """The stream of pictures, ready. Raises `_Over`."""
    import av  # noqa: PLC0415

    stream = container.streams.best("video")
    if stream is None:
        kinds = sorted({each.type for each in container.streams}) or ["nothing"]
        raise _Over(Because.NO_VIDEO_STREAM, f"it has {' and '.join(kinds)}")
    if stream.codec_context is None:
        raise _Over(Because.NO_DECODER, "what is in it")
    stream.codec_context.thread_count = 1  # whatever is logged is of the packet that was just handed over
    stream.codec_context.copy_opaque = True
    assert isinstance(stream, av.VideoStream)
    return stream


class _Show:
    """Hands on the whole pictures of a stream.

    Args:
        order: What is wanted.
        link: To whom.
        stream: What is decoded.
        live: Whether a picture that finds no room is left out: a camera does not wait.
    """

    def __init__(self, order: Order, link: Link, stream: av.video.stream.VideoStream, *, live: bool) -> None:
        rate = float(stream.average_rate or stream.guessed_rate or _RATE)
        self._order = order
        self._link = link
        self._live = live
        self._damage = Damage()
        self._times = Timeline(rate)
        self._clock = CaptureClock()
        self._thinning = Thinning(order.pictures_per_s)
        self._has_numbers = False
        self._last_s = time.monotonic()
        self.shown = 0

    def packet(self, number: int, packet: av.packet.Packet[Any], log: list[tuple[int, str, str]]) -> None:
        """Decode a packet and show what comes of it. Raises `_Over`."""
        import av  # noqa: PLC0415

        packet.opaque = number
        try:
            frames = packet.decode()
        except av.error.EOFError:
            return
        except av.FFmpegError:
            frames = []
            self._link.damaged += 1
            self._damage.found_in(number)
        if packet.is_corrupt or reports_damage(line for _, _, line in log):
            self._damage.found_in(number)
        log.clear()
        for frame in frames:
            self._frame(frame, number)
        self._link.still_here()
        if self._live and time.monotonic() - self._last_s > self._order.no_picture_s:
            raise _Over(Because.NO_PICTURE, f"data came for {self._order.no_picture_s:g} s, but no whole picture")

    def _frame(self, frame: av.video.frame.VideoFrame, number: int) -> None:
        of_packet = frame.opaque
        if isinstance(of_packet, int):
            self._has_numbers, number = True, of_packet
        # A picture of no packet was made up by the decoder.
        marked = frame.is_corrupt or (self._has_numbers and not isinstance(of_packet, int))
        whole = self._damage.is_whole(number, marked=marked, key=bool(frame.key_frame))
        at_s = self._times.at_s(frame.time)
        if not whole:
            self._link.damaged += 1
            return
        self._last_s = time.monotonic()
        if frame.width * frame.height > self._order.max_pixels:
            raise _Over(Because.TOO_LARGE, f"{frame.width} x {frame.height} pixels; {self._order.max_pixels} are read")
        captured_at_ms = self._clock.captured_at_ms(at_s, now_ms())
        if not self._thinning.wants(at_s):
            self._link.thinned += 1
            return
        late_s = (now_ms() - captured_at_ms) / 1_000
        slot = self._link.slot(patience_s=max(0.0, _LATEST_S - late_s) if self._live else None)
        if slot is None:
            self._link.late += 1
            return
        self._hand_on(frame, slot, at_s, captured_at_ms)
        self.shown += 1

    def _hand_on(self, frame: av.video.frame.VideoFrame, slot: int, at_s: float, captured_at_ms: int) -> None:
        bt709 = frame.colorspace in _BT709
        full_range = frame.format.name.startswith("yuvj") or frame.color_range == _JPEG_RANGE
        if frame.format.name not in {"yuv420p", "yuvj420p"}:
            full_range |= not frame.format.name.startswith(("yuv", "nv", "p0"))
            frame = frame.reformat(format="yuvj420p" if full_range else "yuv420p")
        sizes = [plane.line_size * plane.height for plane in frame.planes]
        if min(sizes) <= 0 or sum(sizes) > self._order.slot_bytes:
            raise _Over(Because.TOO_LARGE, f"{frame.width} x {frame.height} pixels in rows of an odd length")
        at = slot * self._order.slot_bytes
        for plane, size in zip(frame.planes, sizes, strict=True):
            self._link.memory[at : at + size] = memoryview(plane)[:size]
            at += size
        strides = (frame.planes[0].line_size, frame.planes[1].line_size, frame.planes[2].line_size)
        turns = round(frame.rotation / 90) % 4
        self._link.send(
            Shown(
                slot,
                frame.width,
                frame.height,
                strides,
                turns,
                full_range,
                bt709,
                at_s,
                captured_at_ms,
                self._link.dropped,
            )
        )


def _refused(fault: Exception, order: Order, took_s: float, log: list[str]) -> _Over:
    """Why a source could not be opened."""
    import av  # noqa: PLC0415

    host = urlsplit(order.source).hostname if order.address else None
    unresolved = any("Failed to resolve hostname" in line for line in log)
    forbidden = any(line.startswith("Protocol ") and "not on whitelist" in line for line in log)
    found: list[tuple[bool, Because, str]] = [
        (isinstance(fault, av.error.HTTPUnauthorizedError), Because.WRONG_PASSWORD, ""),
        (isinstance(fault, av.error.HTTPForbiddenError), Because.FORBIDDEN, ""),
        (isinstance(fault, av.error.HTTPNotFoundError), Because.NO_SUCH_STREAM, "404"),
        (forbidden or isinstance(fault, av.error.ProtocolNotFoundError), Because.UNKNOWN_PROTOCOL, ""),
        (unresolved, Because.NO_SUCH_HOST, host or ""),
        (isinstance(fault, FileNotFoundError | PermissionError | IsADirectoryError), Because.NOT_THERE, _words(fault)),
        (isinstance(fault, ConnectionError | TimeoutError), Because.NOBODY_LISTENS, _words(fault)),
        (
            order.address and took_s >= order.open_timeout_s,
            Because.NOBODY_LISTENS,
            f"no answer for {order.open_timeout_s:g} s",
        ),
        (isinstance(fault, ValueError), Because.NOT_A_VIDEO, ""),
    ]
    for so, because, detail in found:
        if so:
            return _Over(because, detail)
    return _Over(Because.NOT_THERE, _words(fault))


def _words(fault: Exception) -> str:
    """What FFmpeg says, without the address, which stands in the sentence already."""
    return str(getattr(fault, "strerror", None) or fault).partition(":")[0].lower()


if __name__ == "__main__":
    main()
