"""Objects that hang, each in its own way, for tests of worker processes."""

import ctypes
import subprocess
import time


class Sleeping:
    """Sleeps in its method."""

    def hang(self):
        time.sleep(600)


class HoldingLock:
    """Hangs in C code that keeps Python's lock: no thread of its process can run, no signal handler either."""

    def hang(self):
        ctypes.PyDLL(None).sleep(600)


class WithChild:
    """Waits for a program that it has started."""

    def hang(self):
        subprocess.run(["sleep", "600"], check=True)


class Answering:
    """Does what it is asked."""

    def echo(self, value):
        return value

    def import_module(self, name):
        return __import__(name).VALUE


class NeverMade:
    """Hangs before it can be asked anything."""

    def __init__(self):
        time.sleep(600)
