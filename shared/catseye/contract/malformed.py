"""What is wrong with a value that cannot be read, for its sender: fastavro's words name no field and no remedy."""

import re
from bisect import bisect_left
from collections.abc import Callable
from typing import Final

from catseye.contract.errors import BadRecord, Reason

_REMEDY: Final = (
    "the value was damaged or cut off, or its fields are not those of the schema that its envelope names, in that order"
)
_LENGTH: Final = re.compile(r"Expected (-?\d+) bytes, read (\d+)")


def unknown_format(header: bytes, *, begun: bool) -> BadRecord:
    """The value starts with *header*, as none of ours does; or, *begun* as ours do, it ends within its envelope."""
    if begun:
        return BadRecord(
            Reason.UNKNOWN_FORMAT,
            f"the value ends within its envelope, after {len(header)} bytes: it was cut off, or is no record of ours",
        )
    hint = ""
    if header[:1] in (b"{", b"["):
        hint = "; this looks like JSON, and records are Avro"
    elif header[:2] == b"\xff\xd8":
        hint = "; this looks like a bare JPEG, and a frame is an Avro record with the JPEG in it"
    elif header[:3] == b"Obj":
        hint = "; this looks like an Avro file, and each Kafka record is one Avro record without a file's header"
    return BadRecord(
        Reason.UNKNOWN_FORMAT,
        f"the value starts with {header[:2].hex()}; Avro's single-object encoding starts with c301, Confluent's wire "
        f"format with 00{hint}. Encode it with catseye.client, or as schemas/README.md says",
    )


def malformed(
    name: str, value_bytes: int, fields: list[str], reads_until: Callable[[str], bool], fault: Exception
) -> BadRecord:
    """The envelope is one of ours and what follows is not.

    Args:
        name: Full name of the record.
        value_bytes: Length of the value.
        fields: Those of the schema that it was written with, in order.
        reads_until: Whether the value can be read from the first up to a field.
        fault: What fastavro raised; of its text only numbers are used, since it names buffers by their addresses.
    """
    at = bisect_left(fields, True, key=lambda field: not reads_until(field))
    if at == len(fields):
        return BadRecord(Reason.MALFORMED_AVRO, f"the {name} does not fit the schema of today: {_REMEDY}")
    where = f"field {fields[at]} of the {name}"
    length = _LENGTH.search(str(fault))
    if isinstance(fault, UnicodeDecodeError):
        what = f"{where} is no text in UTF-8"
    elif length and int(length[1]) < 0:
        what = f"{where} says that it is {length[1]} bytes long"
    elif length:
        what = f"{where} needs {length[1]} bytes, and {length[2]} are left of the value's {value_bytes}"
    elif isinstance(fault, EOFError | StopIteration):
        what = f"the value ends after {value_bytes} bytes, before the end of {where}"
    else:
        what = f"{where} cannot be read"
    return BadRecord(Reason.MALFORMED_AVRO, f"{what}: {_REMEDY}")
