"""How many records one transaction may take. Pure."""


class TransactionSize:
    """How many records the next transaction may take so that its work lasts about *target_s*, or as long as its commit
    where that is longer: a broker that commits slowly must not hold a backlog up. Nor must a worker that waits between
    transactions: in one it may do the work of the time until the next.

    It begins with one record and at most doubles, each time that all of it was used: while a batch is worked on the
    worker gives no sign of life, so one must never last long only because nobody knew yet what a record costs. A
    worker does not wait after a transaction that was used up, so what it begins with, or a backlog, costs it moments.

    Args:
        target_s: Wanted duration of the work, seconds.
        every_s: Shortest time from one transaction to the next while no backlog waits, seconds.
        most: Upper bound on records.
    """

    def __init__(self, target_s: float, every_s: float, *, most: int) -> None:
        self._target_s = max(target_s, every_s)
        self._most = most
        self._cost_s = 0.0
        self._commit_s = 0.0
        self._records = 1

    def records(self) -> int:
        """Records that the next transaction may take, 1 to *most*."""
        return self._records

    def is_used_up(self, records: int) -> bool:
        """Whether a transaction of so many has taken all that it may: more of them may wait."""
        return records >= self._records

    def took(self, records: int, work_s: float, commit_s: float) -> None:
        """Learn what *records* took to work on and to commit; half of what is believed is replaced each time."""
        cost_s = work_s / records
        self._commit_s = (self._commit_s + commit_s) / 2
        self._cost_s = (self._cost_s + cost_s) / 2 if self._cost_s else cost_s
        tried = self._records * 2 if self.is_used_up(records) else self._records
        wanted = max(self._target_s, self._commit_s) / self._cost_s if self._cost_s else tried
        self._records = max(1, min(self._most, tried, int(wanted)))
