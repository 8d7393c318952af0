"""State of the join against plain mappings, through any order of work, commits, rollbacks and new starts."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from services.ground_truth.entry import NEVER_MS, NO_LABEL, RECEIVED, Entry, ShadowEntry, pack, pack_shadow
from services.ground_truth.join_state import (
    BUCKETS_A_HORIZON,
    EARLY_BUCKET_MS,
    MARK,
    MARK_BUCKETS,
    JoinState,
    frame_key,
)
from services.ground_truth.state_formats import as_known

HORIZON_MS = 10_000
BUCKET_MS = HORIZON_MS // BUCKETS_A_HORIZON
MARGIN_MS = 2_500
MARK_KEPT_MS = HORIZON_MS + 2 * MARGIN_MS
MARK_BUCKET_MS = MARK_KEPT_MS // MARK_BUCKETS
CLASSES = {"narrow": 2, "middle": 3, "wide": 17}

# Few keys and few times, so that the same ones meet: three neighbours, both sides of a segment's edge, far ones.
dense = st.sampled_from([0, 1, 2, 63, 64])
sparse = st.sampled_from([2**40, 2**62 - 1])
keys = st.builds(frame_key, st.just("cam"), st.sampled_from(["a", "b"]), dense | sparse)
times = st.sampled_from([0, 10, 49, 50, 120, 999, 1_000, 2_500, 10_060, 10_130, 12_600, 30_000, 41_000, 60_000])
near_times = st.integers(0, 400)


def received_ms(packed: bytes) -> int:
    """First field of an entry and of a label that waits."""
    at_ms: int = RECEIVED.unpack_from(packed)[0]
    return at_ms


class Known:
    """What a state should know: the same, in mappings and without an index."""

    def __init__(self) -> None:
        self.entries: dict[bytes, bytes] = {}
        self.shadows: dict[bytes, bytes] = {}
        self.early: dict[bytes, bytes] = {}
        self.marks: dict[bytes, tuple[int, int]] = {}
        self.models: list[str] = []
        self.newest_ms = 0

    def copy(self) -> "Known":
        """As it is now."""
        other = Known()
        other.entries, other.shadows, other.early = dict(self.entries), dict(self.shadows), dict(self.early)
        other.marks, other.models = dict(self.marks), list(self.models)
        other.newest_ms = self.newest_ms
        return other


class StateAndMappings(RuleBasedStateMachine):
    """Does everything twice and compares."""

    @initialize()
    def start(self) -> None:
        """Nothing is known."""
        self.state = JoinState(HORIZON_MS, MARGIN_MS)
        self.known, self.committed = Known(), Known()
        self.log: list[tuple[bytes, bytes | None]] = []
        self.latest_ms = 0

    def model_no(self, name: str) -> int:
        """Number of a model, on both sides."""
        if name not in self.known.models:
            self.known.models.append(name)
        classes = [f"class {number}" for number in range(CLASSES[name])]
        number = self.state.model_no(name, "1", classes)
        assert number == self.known.models.index(name)
        assert list(self.state.models[number].classes) == classes
        return number

    @rule(key=keys, at_ms=times | near_times, model=st.sampled_from(sorted(CLASSES)), offset=st.integers(0, 2**40))
    def predict(self, key: bytes, at_ms: int, model: str, offset: int) -> None:
        """A prediction comes in; one that is there stays."""
        self.state.saw(at_ms)
        self.known.newest_ms = max(self.known.newest_ms, at_ms)
        self.latest_ms = max(self.latest_ms, at_ms)
        if key in self.known.entries:
            return
        number = self.model_no(model)
        chances = tuple((offset + each) % 65_536 for each in range(CLASSES[model]))
        packed = pack(Entry(at_ms, at_ms - 5, offset, 7, number, 0, 128, 0, NEVER_MS, NO_LABEL, chances))
        self.state.put(key, packed, None)
        self.known.entries[key] = packed

    @precondition(lambda self: self.known.entries)
    @rule(data=st.data(), flags=st.integers(0, 255))
    def label(self, data: st.DataObject, flags: int) -> None:
        """An entry changes and keeps its time and size."""
        key = data.draw(st.sampled_from(sorted(self.known.entries)))
        before = self.known.entries[key]
        after = before[:33] + bytes([flags]) + before[34:]
        self.state.put(key, after, self.state.get(key))
        self.known.entries[key] = after

    @rule(key=keys, at_ms=times | near_times, model=st.sampled_from(sorted(CLASSES)), chance=st.integers(0, 255))
    def predict_in_shadow(self, key: bytes, at_ms: int, model: str, chance: int) -> None:
        """A shadow's word comes in, with or without the champion's; time is the champion's to tell."""
        if key in self.known.shadows:
            return
        packed = pack_shadow(ShadowEntry(at_ms, self.model_no(model), 1, chance, (chance,) * min(16, CLASSES[model])))
        self.state.put_shadow(key, packed)
        self.known.shadows[key] = packed

    @precondition(lambda self: self.known.shadows)
    @rule(data=st.data())
    def pair(self, data: st.DataObject) -> None:
        """A shadow's word is needed no longer."""
        key = data.draw(st.sampled_from(sorted(self.known.shadows)))
        self.state.take_shadow(key)
        del self.known.shadows[key]

    @rule(key=keys, at_ms=times | near_times, text=st.binary(max_size=4))
    def wait(self, key: bytes, at_ms: int, text: bytes) -> None:
        """A label waits, or takes the place of one that waits, which may have come before or after it."""
        packed = RECEIVED.pack(at_ms) + text
        self.state.put_early(key, packed)
        self.known.early[key] = packed

    @precondition(lambda self: self.known.early)
    @rule(data=st.data())
    def meet(self, data: st.DataObject) -> None:
        """A label waits no longer."""
        key = data.draw(st.sampled_from(sorted(self.known.early)))
        self.state.take_early(key)
        del self.known.early[key]

    @rule(at_ms=times | near_times)
    def let_go(self, at_ms: int) -> None:
        """Exactly the labels whose second is over leave."""
        left = dict(self.state.early_before(at_ms))
        assert left == {
            key: packed
            for key, packed in self.known.early.items()
            if (received_ms(packed) // EARLY_BUCKET_MS + 1) * EARLY_BUCKET_MS <= at_ms
        }
        for key in left:
            self.state.take_early(key)
            del self.known.early[key]

    @rule()
    def expire(self) -> None:
        """Exactly the entries whose bucket is past the horizon leave."""
        cutoff_ms = self.known.newest_ms - HORIZON_MS
        due = {
            key
            for key, packed in self.known.entries.items()
            if (received_ms(packed) // BUCKET_MS + 1) * BUCKET_MS <= cutoff_ms
        }
        assert self.state.expire(10**9) == len(due)
        self.forget(due)

    @rule(most=st.integers(1, 5))
    def expire_some(self, most: int) -> None:
        """At most a segment more than asked for, and none that is not due."""
        cutoff_ms = self.known.newest_ms - HORIZON_MS
        gone = self.state.expire(most)
        left = {key for key in self.known.entries if self.state.get(key) is None}
        assert len(left) == gone < most + 64
        assert all(received_ms(self.known.entries[key]) < cutoff_ms for key in left)
        self.forget(left)

    @rule()
    def expire_shadows(self) -> None:
        """Exactly as predictions do, and without a mark."""
        cutoff_ms = self.known.newest_ms - HORIZON_MS
        due = {
            key
            for key, packed in self.known.shadows.items()
            if (received_ms(packed) // BUCKET_MS + 1) * BUCKET_MS <= cutoff_ms
        }
        assert self.state.expire_shadows(10**9) == len(due)
        for key in due:
            del self.known.shadows[key]

    @rule()
    def expire_in_vain(self) -> None:
        """What left in a transaction that was aborted is due again, as if it had never left."""
        self.commit()
        self.expire()
        self.expire_shadows()
        self.abort()
        self.expire()
        self.expire_shadows()

    def forget(self, due: set[bytes]) -> None:
        """Take entries away, and keep how far their boots are forgotten."""
        for key in due:
            del self.known.entries[key]
            boot, sequence = key[:-8], int.from_bytes(key[-8:], "big")
            self.known.marks[boot] = max(self.known.marks.get(boot, (0, 0))[0], sequence), self.known.newest_ms

    @rule(most=st.just(1) | st.just(10**9))
    def end_marks(self, most: int) -> None:
        """Exactly the marks that have not moved for a horizon and twice the margin, to the bucket."""
        cutoff_ms = self.known.newest_ms - MARK_KEPT_MS
        due = {
            boot
            for boot, (_, forgot_at_ms) in self.known.marks.items()
            if (forgot_at_ms // MARK_BUCKET_MS + 1) * MARK_BUCKET_MS <= cutoff_ms
        }
        assert self.state.end_marks(most) == min(most, len(due))
        left = {key[1:] for key in self.state.items() if key[:1] == b"l"}
        assert self.known.marks.keys() - due <= left
        self.known.marks = {boot: mark for boot, mark in self.known.marks.items() if boot in left}

    @rule()
    def end_marks_in_vain(self) -> None:
        """As with entries."""
        self.commit()
        self.end_marks(10**9)
        self.abort()
        self.end_marks(10**9)

    @rule()
    def commit(self) -> None:
        """The changes reach the log, each key once."""
        changes = self.state.changes()
        assert len(dict(changes)) == len(changes)
        self.log += changes
        self.state.commit()
        assert self.state.changes() == []
        self.committed = self.known.copy()

    @rule()
    def abort(self) -> None:
        """As at the last commit."""
        self.state.rollback()
        assert self.state.changes() == []
        self.known = self.committed.copy()

    @rule(compacted=st.booleans())
    def start_anew(self, compacted: bool) -> None:
        """From the log, whole or with the last record of each key only, where that one stood."""
        log = self.log
        if compacted:
            last = {key: at for at, (key, _) in enumerate(log)}
            log = [record for at, record in enumerate(log) if last[record[0]] == at]
        self.state = JoinState(HORIZON_MS, MARGIN_MS)
        for key, value in log:
            self.state.restore(key, value)
        self.state.commit()
        self.known = self.committed.copy()
        # Of predictions that are gone nobody knows the time any more; the next one brings it.
        self.known.newest_ms = self.state.newest_ms
        assert self.state.newest_ms <= self.latest_ms
        self.committed = self.known.copy()

    @invariant()
    def same(self) -> None:
        """Every question has the same answer."""
        if not hasattr(self, "state"):
            return
        assert {key: self.state.get(key) for key in self.known.entries} == self.known.entries
        assert {key: self.state.early(key) for key in self.known.early} == self.known.early
        assert {key: self.state.shadow(key) for key in self.known.shadows} == self.known.shadows
        assert (self.state.waiting, self.state.newest_ms) == (len(self.known.entries), self.known.newest_ms)
        assert self.state.shadows == len(self.known.shadows)
        items = {key: as_known(key, value) or b"" for key, value in self.state.items().items()}
        assert {key[1:]: value for key, value in items.items() if key[:1] == b"p"} == self.known.entries
        assert {key[1:]: value for key, value in items.items() if key[:1] == b"s"} == self.known.shadows
        assert {key[1:]: value for key, value in items.items() if key[:1] == b"e"} == self.known.early
        assert {key[1:]: MARK.unpack(value) for key, value in items.items() if key[:1] == b"l"} == self.known.marks
        assert [model.name for model in self.state.models] == self.known.models
        stranger = frame_key("cam", "a", 71)
        assert (self.state.get(stranger), self.state.early(stranger)) == (None, None)
        assert self.state.is_expired(stranger) == (self.known.marks.get(stranger[:-8], (-1, 0))[0] >= 71)


TestJoinState = pytest.mark.slow(StateAndMappings.TestCase)
TestJoinState.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)
