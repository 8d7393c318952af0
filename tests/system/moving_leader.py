"""A broker that is not yet the leader of a partition when a producer begins: a proxy before a real one plays it."""

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_PRODUCE = 0
_FLEXIBLE = (9, 10)  # versions of that request whose answer is written below (KIP-482, KIP-951)
_NOT_LEADER = 6
_WAITS_S = 0.5


class MovingLeader:
    """Refuses the first record of partition 0 of a topic when the second is there, or half a second later.

    Args:
        broker: Host and port, as clients are told by the broker.
        topic: Full name.

    Attributes:
        address: For `bootstrap.servers`.
        first: Set when the first record is there.
    """

    def __init__(self, broker: str, topic: str) -> None:
        host, port = broker.split(":")
        self._broker = (host, int(port))
        self._topic = topic.encode()
        self._door = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._door.getsockname()[1]}"
        self.first, self._second, self._refused = threading.Event(), threading.Event(), threading.Event()

    def serve(self) -> None:
        """Until `close`."""
        while True:
            try:
                client, _ = self._door.accept()
            except OSError:
                return
            broker = socket.create_connection(self._broker)
            for target, ends in ((self._requests, (client, broker)), (self._answers, (broker, client))):
                threading.Thread(target=target, args=ends, daemon=True).start()

    def close(self) -> None:
        """Take no more connections; those that are there end with their clients."""
        self._door.shutdown(socket.SHUT_RDWR)
        self._door.close()

    def _requests(self, client: socket.socket, broker: socket.socket) -> None:
        for frame in _frames(client):
            kind, version, number = struct.unpack(">hhi", frame[4:12])
            if kind == _PRODUCE and not self.first.is_set():
                assert version in _FLEXIBLE, f"answers of version {version} are not known here"
                self.first.set()
                threading.Thread(target=self._refuse, args=(client, number), daemon=True).start()
                continue
            if kind == _PRODUCE:
                self._second.set()
                self._refused.wait()
            broker.sendall(frame)
        broker.shutdown(socket.SHUT_WR)

    def _refuse(self, client: socket.socket, number: int) -> None:
        self._second.wait(_WAITS_S)
        answer = struct.pack(">ib", number, 0) + bytes((2, len(self._topic) + 1)) + self._topic + b"\2"
        answer += struct.pack(">ihqqq", 0, _NOT_LEADER, -1, -1, -1) + b"\1\0\0\0" + struct.pack(">ib", 0, 0)
        client.sendall(struct.pack(">i", len(answer)) + answer)
        self._refused.set()

    def _answers(self, broker: socket.socket, client: socket.socket) -> None:
        port = int(self.address.split(":")[1])
        ours, theirs = (self._broker[0].encode() + struct.pack(">i", each) for each in (port, self._broker[1]))
        for frame in _frames(broker):
            client.sendall(frame.replace(theirs, ours))
        broker.close()
        client.close()


@contextmanager
def moving_leader(broker: str, topic: str) -> Iterator[MovingLeader]:
    """One that serves."""
    leader = MovingLeader(broker, topic)
    threading.Thread(target=leader.serve, daemon=True).start()
    try:
        yield leader
    finally:
        leader.close()


def _frames(stream: socket.socket) -> Iterator[bytes]:
    """Each with its size in front, until either side is closed."""
    try:
        while (size := _exactly(stream, 4)) and (rest := _exactly(stream, struct.unpack(">i", size)[0])):
            yield size + rest
    except OSError:
        return


def _exactly(stream: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        more = stream.recv(count - len(data))
        if not more:
            return b""
        data += more
    return data
