"""Write the settings of all services into the library: it lists and checks them where no service is installed.

`python -m infra.local.generate_settings` writes the file; a test compares it with what this would write.
"""

import msgspec

from catseye.cli.settings import TABLE, Row, service_settings
from catseye.settings import Settings, listed


def generated() -> bytes:
    """The rows as JSON, one a line."""
    lines = [msgspec.json.encode(row).decode() for row in _rows()]
    return ("[\n" + ",\n".join(lines) + "\n]\n").encode()


def _rows() -> list[Row]:
    common = {variable for variable, *_ in listed(Settings)}
    return [(of, *row) for of, kind in service_settings() for row in listed(kind) if row[0] not in common]


if __name__ == "__main__":
    TABLE.write_bytes(generated())
