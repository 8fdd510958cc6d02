"""What mail takes on disk."""

import os

from . import load

MAILBOXES = 50


def used(folder):
    """Bytes that the files below a folder take on disk."""
    total = 0
    for path, _, files in os.walk(folder):
        for name in files:
            total += os.lstat(os.path.join(path, name)).st_blocks * 512
    return total


def bytes_for_a_byte(start, data, messages):
    """Delivers a realistic mix, stops the server (which writes back all logs), and looks at the disk."""
    with start() as server:
        pass
    before = used(data)
    with start() as server:
        done = load.populate(server, mailboxes=MAILBOXES, messages=messages // MAILBOXES, size="real", seed=4711)
    received = sum(operation["bytes"] for operation in done["operations"].values())
    return {"disk": (used(data) - before) / received}
