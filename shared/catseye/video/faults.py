"""Why no more pictures come from a source, as a code and as one sentence."""

from enum import StrEnum
from typing import Final

from catseye.contract.errors import Misconfigured


class Because(StrEnum):
    """What ended an opening of a source."""

    END = "end"
    NOT_THERE = "not_there"
    NOT_A_VIDEO = "not_a_video"
    NO_VIDEO_STREAM = "no_video_stream"
    NO_DECODER = "no_decoder"
    NO_PICTURE = "no_picture"
    TOO_LARGE = "too_large"
    NO_SUCH_HOST = "no_such_host"
    NOBODY_LISTENS = "nobody_listens"
    WRONG_PASSWORD = "wrong_password"
    FORBIDDEN = "forbidden"
    NO_SUCH_STREAM = "no_such_stream"
    UNKNOWN_PROTOCOL = "unknown_protocol"
    SILENT = "silent"
    BROKEN = "broken"
    DIED = "died"
    HUNG = "hung"


_SENTENCES: Final = {
    Because.END: "{source} has ended",
    Because.NOT_THERE: "{source} cannot be opened: {detail}",
    Because.NOT_A_VIDEO: "{source} cannot be opened: neither a JPEG nor a video that FFmpeg reads",
    Because.NO_VIDEO_STREAM: "{source} has no video stream: {detail}",
    Because.NO_DECODER: "{source} cannot be decoded: there is no decoder for {detail}",
    Because.NO_PICTURE: "{source} shows no picture: {detail}",
    Because.TOO_LARGE: "{source} has too large pictures: {detail}",
    Because.NO_SUCH_HOST: "{source} cannot be opened: there is no host of the name {detail}",
    Because.NOBODY_LISTENS: "{source} cannot be opened: nobody answers there ({detail})",
    Because.WRONG_PASSWORD: "{source} cannot be opened: the server refuses this user and password (401)",
    Because.FORBIDDEN: "{source} cannot be opened: the server forbids it for this user (403)",
    Because.NO_SUCH_STREAM: "{source} cannot be opened: the server has nothing of this name ({detail})",
    Because.UNKNOWN_PROTOCOL: "{source} cannot be opened: no stream has an address that begins so",
    Because.SILENT: "{source} sends nothing: {detail}",
    Because.BROKEN: "{source} cannot be read on: {detail}",
    Because.DIED: "the process that decoded {source} has died: {detail}",
    Because.HUNG: "the process that decodes {source} was ended: {detail}",
}


class VideoFault(Misconfigured):
    """A source gives no pictures, or no more.

    Args:
        because: What is wrong.
        source: Path or address; what is secret in it is not shown.
        detail: What was found, where the sentence has room for it.
    """

    def __init__(self, because: Because, source: str, detail: str = "") -> None:
        super().__init__(_SENTENCES[because].format(source=source, detail=detail))
        self.because = because
