"""Whatever the package apprise knows (BSD-2-Clause), where somebody installed it: images do without its 17 MB.

Its result is asked for its status: it is equal to none of True, False and None, and `FAILURE` and `TIMEOUT` are two
things. A redirect counts as success there; that is not ours to see.
"""

from importlib.util import find_spec

from services.notifier.known import Attempt, Result
from services.notifier.routes import Apprise
from services.notifier.senders.parcel import Surroundings, plain, title

MISSING = "the package apprise is not installed: `pip install apprise` in the environment of the notifier"


class AppriseSender:
    """Satisfies `Sender`.

    Args:
        route: Where to.
        around: What else is needed.
    """

    def __init__(self, route: Apprise, around: Surroundings) -> None:
        self._route = route
        self._around = around

    def send(self, attempt: Attempt) -> Result:
        if fault := unusable(self._route):
            return Result(attempt.key, "failed", fault)
        import apprise  # noqa: PLC0415 - not there for who does not use it

        out = apprise.Apprise()
        out.add(self._route.url)
        sent = out.notify(body=plain(attempt, self._around), title=title(attempt), timeout=self._around.timeout_s)
        match sent.status:
            case apprise.AppriseResultStatus.SUCCESS:
                return Result(attempt.key, "delivered", "apprise says that it was sent")
            case apprise.AppriseResultStatus.TIMEOUT:
                return Result(attempt.key, "uncertain", f"apprise: no end within {self._around.timeout_s:g} s")
            case _:
                return Result(attempt.key, "failed", f"apprise says {sent.status.name.lower()}")


def unusable(route: Apprise) -> str:
    """Why a route cannot be used; empty where it can."""
    if find_spec("apprise") is None:
        return MISSING
    import apprise  # noqa: PLC0415 - as above

    return "" if apprise.Apprise().add(route.url) else "apprise does not know addresses of this kind, or lacks a part"
