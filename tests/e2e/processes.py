"""What the system tells of processes, and waiting for what they do."""

import time

from support import TIME_LIMIT_S


def until(condition, process=None):
    """Waits for it, as long as the process runs."""
    deadline = time.monotonic() + TIME_LIMIT_S
    while not condition():
        assert process is None or process.poll() is None, "it ended too early"
        assert time.monotonic() < deadline, "what was waited for does not come"
        time.sleep(0.002)


def children(process):
    """Process numbers of those that it, a Popen or a number, has started."""
    pid = getattr(process, "pid", process)
    try:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
            return [int(word) for word in file.read().split()]
    except FileNotFoundError:
        return []


def runs(pid):
    """Whether this process is there and more than a remainder that nobody has waited for."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False
