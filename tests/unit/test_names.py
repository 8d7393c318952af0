"""`catseye.contract.names`: what is one name, what is none, and what people are shown of either."""

import re
import unicodedata

import pytest

from catseye.contract.errors import BadRecord, Misconfigured, Reason
from catseye.contract.limits import NAME_MAX
from catseye.contract.names import (
    boot_of,
    camera_of,
    check_words,
    class_meant,
    class_of_folder,
    label_of,
    name_of,
    shown,
)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("gate-7", "gate-7"),
        ("Süd-Tor 3", "Süd-Tor 3"),
        (unicodedata.normalize("NFD", "Süd-Tor 3"), "Süd-Tor 3"),
        (" Süd-Tor 3\u00a0", "Süd-Tor 3"),
        ("Süd-Tor\u202f3", "Süd-Tor 3"),
        ("süd-tor 3", "süd-tor 3"),
        ("a/b", "a/b"),
        ("🚦/✈", "🚦/✈"),
        ("🚦/✈\ufe0f", "🚦/✈"),
        ("e\ufe0f\u0301", "é"),
        ("👨‍👩‍👧", "👨‍👩‍👧"),
        ("👩🏽‍🚒", "👩🏽‍🚒"),
        ("دوربین‌ها", "دوربین‌ها"),
        ("क्‍ष", "क्‍ष"),
        ("../../etc/passwd", "../../etc/passwd"),
        ("-rf", "-rf"),
        ("%s%n{0}$HOME", "%s%n{0}$HOME"),
        ("x" * NAME_MAX, "x" * NAME_MAX),
        ("u\u0308" * NAME_MAX, "ü" * NAME_MAX),
    ],
)
def test_spellings_that_look_alike_are_one_name(text: str, name: str) -> None:
    """Composed, without blanks at the ends, one kind of blank; the case of a camera counts, any script will do."""
    assert camera_of(text) == name


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("cam\u200b01", "U+200B ZERO WIDTH SPACE at 3, which nobody sees"),
        ("cam\u200d01", "U+200D ZERO WIDTH JOINER at 3, which nobody sees"),
        ("\u200dcam", "U+200D ZERO WIDTH JOINER at 0"),
        ("cam\u200c", "U+200C ZERO WIDTH NON-JOINER at 3"),
        ("🚦\u200d", "U+200D ZERO WIDTH JOINER at 1"),
        ("\ufeffcam", "U+FEFF ZERO WIDTH NO-BREAK SPACE at 0, which nobody sees"),
        ("ca\u00adm", "U+00AD SOFT HYPHEN at 2, which nobody sees"),
        ("cam\u3164", "U+3164 HANGUL FILLER at 3, which nobody sees"),
        ("cam\U000e0041", "U+E0041 TAG LATIN CAPITAL LETTER A at 3, which nobody sees"),
        ("\u202egnp.1-mac", "U+202E RIGHT-TO-LEFT OVERRIDE at 0, which turns the text around it"),
        ("cam\u2066", "U+2066 LEFT-TO-RIGHT ISOLATE at 3, which turns"),
        ("cam\u200f", "U+200F RIGHT-TO-LEFT MARK at 3, which turns"),
        ("cam\x1b[2J", "the control character U+001B at 3"),
        ("cam\n", "the control character U+000A at 3"),
        ("cam\u2028", "the control character U+2028 at 3"),
        ("cam\udcfc", "U+DCFC at 3, which UTF-8 cannot write"),
    ],
)
def test_what_cannot_be_seen_or_shown_is_no_name(text: str, why: str) -> None:
    """The sentence says which character and where, and has none of them itself."""
    with pytest.raises(BadRecord) as refused:
        camera_of(text)
    assert refused.value.reason == Reason.FIELD_OUT_OF_RANGE
    assert why in refused.value.detail
    assert refused.value.detail.isascii()
    assert shown(refused.value.detail) == refused.value.detail
    at = int(re.findall(r" at (\d+)", refused.value.detail)[0])
    assert camera_of(text[:at] + text[at + 1 :])  # it is a name without it: "leave it out"


@pytest.mark.parametrize("text", ["", " ", "\u00a0\u3000", "\ufe0f", "\t\n"])
def test_a_camera_has_a_name(text: str) -> None:
    """Blanks are none."""
    with pytest.raises(BadRecord) as refused:
        camera_of(text)
    assert refused.value.reason == Reason.CAMERA_EMPTY


def test_a_boot_has_no_stroke() -> None:
    """Frame 0 of boot b/c of camera a would have the name of frame 0 of boot c of camera a/b."""
    assert boot_of(" b7 ") == "b7"
    assert boot_of("") == ""
    with pytest.raises(BadRecord, match=r"boot is b/c, with a stroke: .*; write a dash"):
        boot_of("b/c")
    assert boot_of("b-c") == "b-c"


@pytest.mark.parametrize("text", ["truck", "truck ", " truck", "truck\u00a0"])
def test_a_label_is_folded_as_classes_are(text: str) -> None:
    """By the same rule, so that it is of the class that it looks like."""
    assert label_of(text) == name_of("class", text) == class_of_folder(text) == "truck"


def test_what_names_no_class_is_refused() -> None:
    """A label that is empty, a folder that nobody can name."""
    with pytest.raises(BadRecord, match=r"label is empty; null \(None\) withdraws a label"):
        label_of(" ")
    with pytest.raises(Misconfigured, match=r"the folder 'tru\\u200bck' names no class: label has U\+200B"):
        class_of_folder("tru\u200bck")


@pytest.mark.parametrize(
    ("label", "classes", "meant"),
    [
        ("truck", ("car", "truck"), "truck"),
        ("Truck", ("car", "truck"), "truck"),
        ("TRUCK", ("car", "Truck"), "Truck"),
        ("STRASSE", ("Straße", "Weg"), "Straße"),
        ("Truck", ("truck", "TRUCK"), "Truck"),
        ("truck", ("Truck", "truck"), "truck"),
        ("lorry", ("car", "truck"), "lorry"),
    ],
)
def test_a_label_means_the_class_that_differs_in_case_only(label: str, classes: tuple[str, ...], meant: str) -> None:
    """Unless two do."""
    assert class_meant(label, classes) == meant


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("Süd-Tor 🚦 دوربین‌ها", "Süd-Tor 🚦 دوربین‌ها"),
        ("a\u202eb\x1b[2J\n\udcfc\u200b", r"a\u202eb\x1b[2J\n\udcfc\u200b"),
        ("\U000e0041", r"\U000e0041"),
    ],
)
def test_terminals_are_shown_what_is_refused_by_its_number(text: str, printed: str) -> None:
    """Dead letters hold what strangers wrote."""
    assert shown(text) == printed


@pytest.mark.parametrize(
    ("by", "reason", "why"),
    [
        ("ada\u202e", "", "by has U\\+202E"),
        ("a" * (NAME_MAX + 1), "", "by has 201 characters"),
        ("ada", "it rains\x1b[2J", "reason has the control character"),
        ("ada", "x" * 2_001, "at most 2000"),
    ],
)
def test_a_command_is_shown_to_people(by: str, reason: str, why: str) -> None:
    """So who gives it and why can be."""
    check_words("ada", "Süd-Tor: crane in the picture ✈\ufe0f")
    with pytest.raises(BadRecord, match=why) as refused:
        check_words(by, reason)
    assert refused.value.reason == Reason.COMMAND_REFUSED
