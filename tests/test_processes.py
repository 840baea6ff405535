"""Workers answer, end with their parent whatever holds them, and heed requests to stop."""

import contextlib
import functools
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from drol import processes
from drol.processes import RefusedError, Worker, WorkerError, close_all, pool, ready
from drol.signals import StoppedError, request_stop, stop_requests

BOUND = 5.0
"""Seconds in which a stop is heeded, and workers end after their parent."""


def members(session):
    """The living processes of a session."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdecimal():
                state, _, _, of = (entry / "stat").read_text().rpartition(")")[2].split()[:4]
                found += [int(entry.name)] if int(of) == session and state != "Z" else []
    return found


def gone_within(session, seconds):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if not members(session):
            return True
        time.sleep(0.05)
    return False


PARENT = """
import sys, threading, time
from drol.processes import Worker
workers = []

def start():
    workers.append(Worker("tests.helpers.hanging:" + sys.argv[1]))

if sys.argv[2] == "thread":
    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
else:
    start()
worker, = workers
if sys.argv[1] != "NeverMade":
    worker.receive()
    time.sleep(1.5)  # the thread that started it is long gone
    worker.send("hang")
print(worker._process.pid, flush=True)
time.sleep(600)
"""


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes as Linux shows them")
@pytest.mark.parametrize(
    ("kind", "where"),
    [
        ("Sleeping", "main"),
        ("HoldingLock", "main"),
        ("WithChild", "main"),
        ("NeverMade", "main"),
        ("Sleeping", "thread"),
    ],
)
def test_workers_end_soon_after_a_killed_parent(kind, where):
    """Hung as they are, and with what they have started."""
    command = [sys.executable, "-W", "ignore", "-c", PARENT, kind, where]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as parent:
        worker = int(parent.stdout.readline())
        time.sleep(0.5)
        assert len(members(worker)) == (3 if kind == "WithChild" else 2)
        parent.kill()
        parent.wait()
    assert gone_within(worker, BOUND)


def test_hung_workers_are_closed_side_by_side():
    workers = [Worker(f"tests.helpers.hanging:{kind}") for kind in ("Sleeping", "HoldingLock", "WithChild", "Sleeping")]
    for worker in workers:
        worker.receive()
        worker.send("hang")
    time.sleep(0.5)
    began = time.monotonic()
    close_all(workers)
    assert time.monotonic() - began < BOUND
    for worker in workers:
        assert gone_within(worker._process.pid, 1.0)


def test_a_killed_worker_is_reported_with_its_signal():
    worker = Worker("tests.helpers.hanging:Answering")
    worker.receive()
    (child,) = set(members(worker._process.pid)) - {worker._process.pid}
    os.kill(child, signal.SIGKILL)
    with pytest.raises(WorkerError, match="died with signal 9"):
        worker.receive(10.0)
    worker.close()


def test_a_worker_finds_the_modules_that_its_parent_finds(tmp_path, monkeypatch):
    """Those of the current folder too, last: they must not hide others."""
    (tmp_path / "added").mkdir()
    (tmp_path / "here").mkdir()
    (tmp_path / "added" / "drol_test_added.py").write_text("VALUE = 'added'")
    (tmp_path / "here" / "drol_test_here.py").write_text("VALUE = 'here'")
    (tmp_path / "here" / "json.py").write_text("raise RuntimeError('hides another')")
    monkeypatch.syspath_prepend(tmp_path / "added")
    monkeypatch.syspath_prepend(os.getcwd())
    monkeypatch.chdir(tmp_path / "here")
    with contextlib.closing(Worker("tests.helpers.hanging:Answering")) as worker:
        worker.receive(60.0)
        for name in ("added", "here"):
            assert worker.call("import_module", f"drol_test_{name}", timeout=10.0) == name


def test_a_refusal_is_told_in_its_own_words():
    worker = Worker("drol.sources.ogbench.collection:parse_collection", "nonsense")
    with contextlib.closing(worker), pytest.raises(RefusedError, match=r"^cannot collect 'nonsense'"):
        worker.receive(60.0)


# Requests to stop


@pytest.mark.parametrize(("number", "call"), [(signal.SIGINT, "receive"), (signal.SIGTERM, "ready")])
def test_whoever_waits_for_a_worker_heeds_a_stop(number, call, monkeypatch):
    monkeypatch.setattr(processes, "GRACE_SECONDS", 0.2)
    with pool(1, "tests.helpers.hanging:HoldingLock") as (worker,):
        worker.send("hang")
        waiting = worker.receive if call == "receive" else functools.partial(ready, [worker])
        with stop_requests() as requests:
            threading.Timer(0.3, os.kill, (os.getpid(), number)).start()
            began = time.monotonic()
            with pytest.raises(StoppedError) as caught:
                waiting()
        assert time.monotonic() - began < 2
    assert caught.value.number == number
    assert requests == [number]


@pytest.fixture
def ctrl_c():
    """Python's own handler of Ctrl-C; a process that began in a shell's background ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c")
def test_a_second_signal_acts_as_usual():
    with stop_requests(), stop_requests():
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_contexts_within_each_other_hear_the_same():
    before = signal.getsignal(signal.SIGTERM)
    with stop_requests() as outer:
        with stop_requests() as inner:
            os.kill(os.getpid(), signal.SIGTERM)
        with stop_requests() as after:
            pass
        assert signal.getsignal(signal.SIGTERM) == before
    assert outer == inner == after == [signal.SIGTERM]
    with stop_requests() as fresh:
        assert fresh == []


@pytest.mark.parametrize("how", ["signal", "call"])
def test_threads_hear_of_a_stop(how, monkeypatch):
    """Of signals while the main thread collects them, and of calls always."""
    monkeypatch.setattr(processes, "GRACE_SECONDS", 0.2)
    heard, inside = [], threading.Event()

    def work():
        try:
            with contextlib.closing(Worker("tests.helpers.hanging:Sleeping")) as worker, stop_requests():
                worker.receive()
                worker.send("hang")
                inside.set()
                worker.receive(60.0)
        except StoppedError as stop:
            heard.append(stop.number)

    with stop_requests() if how == "signal" else contextlib.nullcontext():
        thread = threading.Thread(target=work)
        thread.start()
        assert inside.wait(60)
        if how == "signal":
            os.kill(os.getpid(), signal.SIGTERM)
        else:
            request_stop()
        thread.join(10)
    assert heard == [signal.SIGTERM]
