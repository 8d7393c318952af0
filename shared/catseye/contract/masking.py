"""What stands in an address that nobody else should read: user, password and tokens, wherever an address is shown."""

import re
from typing import Final

MASK: Final = "***"
# RFC 3986, 3.2.1: what stands before the last @ of the authority. People also put a / or an @ into a password
# unescaped, so with a colon before it everything up to the last @ of the word is taken for one.
_USERINFO: Final = re.compile(r"(?<=://)(?:[^\s/?#'\"<>@:]*:[^\s'\"<>]*|[^\s/?#'\"<>]*)@")
# Names of parameters: some with any beginning (userpwd, client_secret), some whole or as the last of several words
# (access_key, but no keyframe and no compass).
_ENDINGS: Final = r"[a-z0-9_.-]*(?:pwd|passwd|password|passphrase|secret|token|signature|credential)"
_WORDS: Final = (
    r"(?:[a-z0-9]+[_.-])*(?:pass|pw|psw|user|usr|username|login|auth|authorization|key|apikey|sig|sas)|"
    r"loginuse|loginpas|x-amz-[a-z-]+|x-goog-[a-z-]+"
)
_PARAMETER: Final = re.compile(rf"([?&;](?:{_ENDINGS}|{_WORDS})=)[^&;#\s'\"<>]+", re.IGNORECASE)
# As many cameras have it: rtsp://host/user=admin_password=…_channel=1_stream=0.sdp
_IN_PATH: Final = re.compile(
    r"(?<=[/_])((?:user|username|password|passwd|pwd)=)[^&;?#/\s'\"<>]+?"
    r"(?=_(?:user|username|password|passwd|pwd|channel|stream|subtype)=|[&;?#/\s'\"<>]|$)",
    re.IGNORECASE,
)


def masked(text: str) -> str:
    """*text* with ``***`` for user and password of each address in it, and for each of its parameters that is a key.

    What follows remains: ``rtsp://***@10.0.0.7/stream``, ``http://cam/snap.cgi?user=***&channel=1``.
    """
    if "://" not in text and "=" not in text:
        return text
    hidden = _PARAMETER.sub(rf"\g<1>{MASK}", _USERINFO.sub(f"{MASK}@", text))
    return _IN_PATH.sub(rf"\g<1>{MASK}", hidden)
