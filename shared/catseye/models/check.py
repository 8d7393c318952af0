"""Model files that come from outside are parsed in a process of their own with bounded memory and time first, so that
a file made to crash the parser crashes nothing else.

A checker is started once, with what it needs to know a model loaded, and forks for each file: a new interpreter costs
half a second of a processor, which frames that wait for the same processor would pay at each swap of the champion.
"""

import atexit
import json
import os
import resource
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from tempfile import NamedTemporaryFile
from threading import Lock

from catseye.contract.errors import BadModel, Unavailable
from catseye.models.net import Net

MODEL_MAX_BYTES = 512 * 2**20
CHECK_TIMEOUT_S = 60.0
CHECK_MEMORY_BYTES = 8 * 2**30  # of addresses, which onnxruntime reserves generously
_MESSAGE_MAX_BYTES = 4_096
_NICENESS = 10  # who predicts meanwhile has ten times its share of a processor

_lock = Lock()
_checker: "subprocess.Popen[str] | None" = None


def check_file(onnx: bytes) -> None:
    """Load *onnx* in a child of the checker, which is started by the first call.

    Raises:
        BadModel: it is too large, breaks the contract, or the child died or hung over it.
        Unavailable: the checker itself was ended, twice.
    """
    if len(onnx) > MODEL_MAX_BYTES:
        raise BadModel(f"the file has {len(onnx)} bytes; at most {MODEL_MAX_BYTES} are loaded")
    with NamedTemporaryFile(suffix=".onnx") as file:
        file.write(onnx)
        file.flush()
        status, message = _asked({"file": file.name, "timeout_s": CHECK_TIMEOUT_S})
    if status == -signal.SIGALRM:
        raise BadModel(f"loading the file took over {CHECK_TIMEOUT_S:g} s")
    if status:
        raise BadModel(f"the file cannot be used: {message or f'the process ended with status {status}'}")


def _asked(question: dict[str, object]) -> tuple[int, str]:
    """Status of the child, negative for a signal, and its last message."""
    global _checker  # noqa: PLW0603 - one a process, for as long as the process lives
    with _lock:
        for _ in range(2):
            if _checker is None:
                argv = [sys.executable, "-m", "catseye.models.check"]
                _checker = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            assert _checker.stdin is not None
            assert _checker.stdout is not None
            try:
                print(json.dumps(question), file=_checker.stdin, flush=True)
                answer = _checker.stdout.readline()
            except BrokenPipeError:
                answer = ""
            if answer:
                status, message = json.loads(answer)
                return int(status), str(message)
            _end()
    raise Unavailable("the process that checks model files was ended; is there too little memory?")


@atexit.register
def _end() -> None:
    """End the checker, if there is one: it ends when nobody can ask any more."""
    global _checker
    ended, _checker = _checker, None
    if ended is not None:
        with suppress(BrokenPipeError):
            ended.communicate()


def _serve() -> None:
    """Answer questions until nobody can ask any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a person's Ctrl-C is for whoever asks
    os.nice(_NICENESS)
    for line in sys.stdin:
        print(json.dumps(_outcome(**json.loads(line))), flush=True)  # noqa: T201 - the answer


def _outcome(file: str, timeout_s: float) -> tuple[int, str]:
    reading, writing = os.pipe()
    if not (child := os.fork()):
        os.close(reading)
        _check(file, timeout_s, writing)
    os.close(writing)
    with open(reading, "rb") as pipe:
        message = pipe.read(_MESSAGE_MAX_BYTES)
    _, ended = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(ended), message.decode(errors="replace")


def _check(file: str, timeout_s: float, writing: int) -> None:
    """What the child does; it never returns."""
    status = 1
    try:
        signal.setitimer(signal.ITIMER_REAL, timeout_s)  # SIGALRM ends it, whatever it hangs in
        resource.setrlimit(resource.RLIMIT_AS, (CHECK_MEMORY_BYTES, CHECK_MEMORY_BYTES))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        Net(Path(file).read_bytes())
        status = 0
    except BadModel as fault:
        os.write(writing, str(fault).encode()[:_MESSAGE_MAX_BYTES])
    except BaseException as fault:  # noqa: BLE001 - a file may make the parser raise anything
        os.write(writing, repr(fault).encode()[:_MESSAGE_MAX_BYTES])
    finally:
        os._exit(status)


if __name__ == "__main__":
    _serve()
