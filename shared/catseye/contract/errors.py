"""Three faults, three reactions: a bad record goes to the dead letters, an absent server is waited for,
a wrong setting stops the start. Nothing else is caught outside of a service's ``__main__``."""

from enum import StrEnum

from catseye.contract.masking import masked


class Reason(StrEnum):
    """Why a record was refused: stable codes that people filter and alert on. Only added to, at the end."""

    RECORD_TOO_LARGE = "record_too_large"
    UNKNOWN_FORMAT = "unknown_format"
    UNKNOWN_SCHEMA = "unknown_schema"
    WRONG_RECORD = "wrong_record"
    MALFORMED_AVRO = "malformed_avro"
    TRAILING_BYTES = "trailing_bytes"
    FIELD_OUT_OF_RANGE = "field_out_of_range"
    CAMERA_EMPTY = "camera_empty"
    TEXT_TOO_LONG = "text_too_long"
    CAPTURED_IN_FUTURE = "captured_in_future"
    CAPTURED_TOO_LONG_AGO = "captured_too_long_ago"
    SEQUENCE_TOO_OLD = "sequence_too_old"
    MODEL_GAVE_NO_NUMBER = "model_gave_no_number"
    COMMAND_REFUSED = "command_refused"
    JPEG_TOO_LARGE = "jpeg_too_large"
    JPEG_EMPTY = "jpeg_empty"
    NOT_A_JPEG = "not_a_jpeg"
    JPEG_TRUNCATED = "jpeg_truncated"
    JPEG_CORRUPT = "jpeg_corrupt"
    JPEG_TWO_IMAGES = "jpeg_two_images"
    JPEG_TRAILING_BYTES = "jpeg_trailing_bytes"
    JPEG_ZERO_SIZE = "jpeg_zero_size"
    JPEG_TOO_MANY_PIXELS = "jpeg_too_many_pixels"
    JPEG_ASPECT = "jpeg_aspect"
    JPEG_TOO_MANY_SCANS = "jpeg_too_many_scans"
    JPEG_UNSUPPORTED_PRECISION = "jpeg_unsupported_precision"
    JPEG_UNSUPPORTED_COLOUR = "jpeg_unsupported_colour"
    JPEG_UNSUPPORTED_CODING = "jpeg_unsupported_coding"
    JPEG_TOO_MANY_SEGMENTS = "jpeg_too_many_segments"


class Fault(Exception):
    """What the three have in common: a text that shows no password of an address in it, whoever it came from."""

    def __init__(self, text: str = "") -> None:
        super().__init__(masked(text))


class BadRecord(Fault):
    """One record cannot be accepted; its bytes go to the dead letters and the stream goes on.

    Args:
        reason: Stable code.
        detail: One sentence for the person who sent the record: what was found and what is allowed.
    """

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = masked(detail)


class BadModel(Fault):
    """A model file breaks the contract of `catseye.models.model_file`; it is not loaded and the one in use stays."""


class Unavailable(Fault):
    """A server does not answer now. Back off; offsets stay where they are."""


class Misconfigured(Fault):
    """A setting is wrong; the process refuses to start and names the setting."""
