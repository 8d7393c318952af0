"""What stands in an address that nobody else should read: user, password and tokens, wherever an address is shown."""

import re
from typing import Final

MASK: Final = "***"
# RFC 3986, 3.2.1: what stands before the last @ of the authority. People also put a / or an @ into a password
# unescaped, so with a colon before it everything up to the last @ of the word is taken for one.
_USERINFO: Final = re.compile(r"(?<=://)(?:[^\s/?#'\"<>@:]*:[^\s'\"<>]*|[^\s/?#'\"<>]*)@")
_SECRET_WORDS: Final = (
    r"pwd|passwd|password|pass|user|usr|username|login|token|access_token|auth|authorization|key|apikey|api_key|secret|"
    r"sig|signature|sas|credential|x-amz-[a-z-]+|x-goog-[a-z-]+"
)
_PARAMETER: Final = re.compile(rf"([?&;](?:{_SECRET_WORDS})=)[^&;#\s'\"<>]+", re.IGNORECASE)


def masked(text: str) -> str:
    """*text* with ``***`` for user and password of each address in it, and for each of its parameters that is a key.

    What follows remains: ``rtsp://***@10.0.0.7/stream``, ``http://cam/snap.cgi?user=***&channel=1``.
    """
    if "://" not in text and "=" not in text:
        return text
    return _PARAMETER.sub(rf"\g<1>{MASK}", _USERINFO.sub(f"{MASK}@", text))
