"""Write the table of alert kinds into the page about alerts.

`python -m infra.local.generate_kinds` writes it between the markers; a test compares it with what this would write.
"""

from catseye.contract.alert_kinds import KINDS, AlertKind
from infra.local.jvm import ROOT

PAGE = ROOT / "services" / "incidents" / "README.md"
BEGIN, END = "<!-- kinds: generated, see infra/local/generate_kinds.py -->", "<!-- /kinds -->"


def generated() -> str:
    """The table, in Markdown, between its markers."""
    head = ["| kind | severity | the camera | what to do | may start a training |", "| --- | --- | --- | --- | --- |"]
    return "\n".join([BEGIN, *head, *map(_line, KINDS.values()), END])


def _line(row: AlertKind) -> str:
    trains = "yes" if row.trains_by_default else "if a setting says so" if row.may_train else "no"
    return f"| `{row.name}` | {row.severity} | {row.meaning} | {row.action} | {trains} |"


def replaced(page: str) -> str:
    """*page* with today's table in it."""
    before, rest = page.split(BEGIN)
    return before + generated() + rest.split(END, 1)[1]


if __name__ == "__main__":
    PAGE.write_text(replaced(PAGE.read_text()))
