"""What a name of a camera, a boot, a label, its source, a reading, a model or a class may be: one rule at every door.

Folded, so that what looks alike is one name: Unicode is composed (NFC), blanks at the ends fall away, any blank within
is a plain one, and whether a symbol is meant as an emoji does not count. A label that differs from one class in case
only is that class (`class_meant`); the case of cameras and boots counts.

Refused with a sentence: what garbles terminals, logs and keys, what turns the text around it, what nobody sees, what
UTF-8 cannot write, more than `NAME_MAX` characters, and a stroke in a boot: a frame is named camera/boot/sequence, and
cameras may have strokes. All else is a name, of any script.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from typing import Final

from catseye.contract.errors import BadRecord, Misconfigured, Reason
from catseye.contract.limits import NAME_MAX

SENTENCE_MAX: Final = 2_000  # characters of what a person gives as a reason

_CONTROL: Final = r"\x00-\x1f\x7f-\x9f\u2028\u2029"  # C0, delete and C1 of Unicode; separators of lines
_TURNS: Final = r"\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # Bidi_Control of UAX 9
# Default_Ignorable_Code_Point of Unicode, and interlinear annotations.
_UNSEEN: Final = (
    r"\u00ad\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200d\u2060-\u2065\u206a-\u206f\u3164\ufe00-\ufe0d\ufeff"
    r"\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
_SURROGATE: Final = r"\ud800-\udfff"
_SUSPECT: Final = re.compile(f"[{_CONTROL}{_TURNS}{_UNSEEN}{_SURROGATE}]")
_IS_CONTROL, _IS_TURN, _IS_SURROGATE = (re.compile(f"[{each}]") for each in (_CONTROL, _TURNS, _SURROGATE))
_BLANKS: Final = re.compile("[\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]")  # Zs of Unicode but the plain one
_PRESENTATION: Final = re.compile("[\ufe0e\ufe0f]")  # asks for a symbol in black and white, or in colour
_NON_JOINER, _JOINER = "\u200c", "\u200d"
_VIRAMA: Final = 9  # canonical combining class


def name_of(what: str, text: str) -> str:
    """*text* as a name, folded; it may be empty. Raises `BadRecord` with a sentence that calls it *what*."""
    if not text.isascii():
        text = _BLANKS.sub(" ", unicodedata.normalize("NFC", _PRESENTATION.sub("", text)))
    text = text.strip(" ")
    check_text(what, text)
    return text


def camera_of(text: str) -> str:
    """*text* as the name of a camera, folded. Raises `BadRecord`."""
    camera = name_of("camera", text) if text.strip() else ""
    if not camera:
        raise BadRecord(Reason.CAMERA_EMPTY, "camera is empty; every frame and label names its camera")
    return camera


def boot_of(text: str) -> str:
    """*text* as the name of a boot, folded. Raises `BadRecord`."""
    boot = name_of("boot", text)
    if "/" in boot:
        raise BadRecord(
            Reason.FIELD_OUT_OF_RANGE,
            f"boot is {boot}, with a stroke: a frame is named camera/boot/sequence, so that a frame of another camera "
            "could have the same name; write a dash",
        )
    return boot


def label_of(text: str) -> str:
    """*text* as the name of a class, folded. Raises `BadRecord`."""
    label = name_of("label", text)
    if not label:
        raise BadRecord(Reason.FIELD_OUT_OF_RANGE, "label is empty; null (None) withdraws a label")
    return label


def class_of_folder(folder: str) -> str:
    """The class that a folder of pictures is named after, folded. Raises `Misconfigured`."""
    try:
        return label_of(folder)
    except BadRecord as fault:
        raise Misconfigured(f"the folder {folder!a} names no class: {fault.detail}") from fault


def check_text(what: str, text: str, longest: int = NAME_MAX) -> None:
    """Raises `BadRecord` when *text*, which is called *what*, has over *longest* characters, or one that is refused."""
    if len(text) > longest:
        raise BadRecord(Reason.TEXT_TOO_LONG, f"{what} has {len(text)} characters; at most {longest} are kept")
    if (at := next(_refused(text), None)) is not None:
        raise BadRecord(Reason.FIELD_OUT_OF_RANGE, f"{what} has {_why(text[at])}".format(at=at))


def check_words(by: str, reason: str) -> None:
    """Raises `BadRecord` when who gives a command, or why, cannot be shown to people or is too long."""
    try:
        check_text("by", by)
        check_text("reason", reason, SENTENCE_MAX)
    except BadRecord as fault:
        raise BadRecord(Reason.COMMAND_REFUSED, fault.detail) from fault


def class_meant(label: str, classes: Iterable[str]) -> str:
    """The class that *label* names: itself, or the one of *classes* that differs from it in case only."""
    folded, found = label.casefold(), set[str]()
    for name in classes:
        if name == label:
            return label
        if name.casefold() == folded:
            found.add(name)
    return found.pop() if len(found) == 1 else label


def shown(text: str) -> str:
    """*text* for a terminal: what is refused in names is written by its number, as texts of strangers may have it."""
    for at in reversed([*_refused(text)]):
        text = f"{text[:at]}{text[at].encode('unicode_escape').decode()}{text[at + 1 :]}"
    return text


def _refused(text: str) -> Iterator[int]:
    """Places of characters that no name has."""
    if text.isascii() and text.isprintable():
        return iter(())
    return (each.start() for each in _SUSPECT.finditer(text) if not _shapes(text, each.start()))


def _shapes(text: str, at: int) -> bool:
    """Whether the unseen character there shapes its neighbours, as scripts of India, Persian and emoji need it."""
    if not at:
        return False
    before, mark, after = text[at - 1], text[at], text[at + 1 : at + 2] or " "
    if mark == _JOINER and (_PRESENTATION.match(before) or unicodedata.category(before) in ("So", "Sk")):
        return unicodedata.category(after) == "So"
    if mark in (_JOINER, _NON_JOINER) and unicodedata.combining(before) == _VIRAMA:
        return True
    return mark == _NON_JOINER and {unicodedata.bidirectional(each) for each in (before, after)} == {"AL"}


def _why(refused: str) -> str:
    number = f"U+{ord(refused):04X}"
    if _IS_CONTROL.match(refused):
        return f"the control character {number} at {{at}}; every printable one is allowed"
    if _IS_SURROGATE.match(refused):
        return f"{number} at {{at}}, which UTF-8 cannot write: it was read by another encoding than it was written in"
    called = f"{number} {unicodedata.name(refused, '')}".rstrip()
    if _IS_TURN.match(refused):
        return f"{called} at {{at}}, which turns the text around it: leave it out"
    return f"{called} at {{at}}, which nobody sees, so that two names look alike: leave it out"
