"""What a person wants done with an alert, carried out. Law: a command leads to one record that names it, or is refused.

What the command leads to besides goes by the camera: an acknowledged alert is held back again at once where a fault
lasts, for example.
"""

from msgspec.structs import replace

from catseye.contract.alert_kinds import OF_SERVICES
from catseye.contract.errors import BadRecord, Reason
from catseye.contract.names import check_words
from catseye.contract.records import Alert, AlertCommand
from services.incidents.evaluation import evaluate, quieted
from services.incidents.incidents_state import FLEET, IncidentsState, service_place
from services.incidents.known import Ended
from services.incidents.record import repeated_end
from services.incidents.rules import Rules


def carry_out(rules: Rules, known: IncidentsState, command: AlertCommand) -> list[Alert] | None:
    """The records that follow; None where the command was carried out before.

    Raises:
        BadRecord: it is about no alert that is known here, or does not say who asks, or what it says cannot be shown.
    """
    if not command.by:
        raise BadRecord(Reason.COMMAND_REFUSED, "a command says who asks, and this one has nobody's name")
    check_words(command.by, command.reason)
    place = known.place_of(command.alert_id)
    if place is None:
        return _of_what_is_over(known, command)
    name, cause = place
    camera = known.camera(name)
    if camera.last_command == command.command_id:
        return None
    emitted = camera.causes[cause].emitted
    kind = emitted.alert.kind if emitted else cause
    quiet = quieted(camera.quiet, kind, command)
    known.put_camera(name, replace(camera, last_command=command.command_id, quiet=quiet))
    return evaluate(rules, known, name, known.clock_ms, command)


def _of_what_is_over(known: IncidentsState, command: AlertCommand) -> list[Alert] | None:
    """The answer about an alert that is over: its end. The command holds for the next one of its kind all the same."""
    last = known.last_record(command.alert_id)
    if last is None:
        raise BadRecord(
            Reason.COMMAND_REFUSED,
            f"no alert {command.alert_id} is open, and none that ended is remembered under that id",
        )
    name = place_of(last)
    camera = known.camera(name)
    if camera.last_command == command.command_id:
        return None
    over = repeated_end(last, at_ms=max(known.clock_ms, command.at_ms), command_id=command.command_id)
    ended = camera.ended | {
        over.alert_id: Ended(revision=over.revision, at_ms=camera.ended[over.alert_id].at_ms),
    }
    known.put_last_record(over.alert_id, over)
    quiet = quieted(camera.quiet, last.kind, command)
    known.put_camera(name, replace(camera, last_command=command.command_id, quiet=quiet, ended=ended))
    return [over]


def place_of(alert: Alert) -> str:
    """What stands where a camera's name stands for what *alert* is about."""
    if alert.kind in OF_SERVICES:
        return service_place(alert.signal)
    return alert.camera or FLEET
