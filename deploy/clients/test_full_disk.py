"""A mailbox's disk is full, or becomes read-only: who is there fails clearly, everybody else is served, and
afterwards nothing is lost. On small disks of the test's own, made of files, which takes root's rights."""

import base64
import collections
import concurrent.futures
import contextlib
import json
import os
import pathlib
import poplib
import re
import subprocess

import pytest

from conftest import BINARY, LmtpClient, Server, plain_message, run, wait_for_log
from raw_imap import RawImap

DISK_MIB = 48
HERE, ELSEWHERE = "here@example.test", "bob@example.test"


@pytest.fixture
def disk(tmp_path):
    """A mounted disk of 48 MiB."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount a disk")
    image, folder = tmp_path / "disk.img", tmp_path / "disk"
    with open(image, "wb") as file:
        file.truncate(DISK_MIB << 20)
    run(["mkfs.ext4", "-q", "-m", "0", image])
    folder.mkdir()
    run(["mount", "-o", "loop,errors=remount-ro", image, folder])
    yield folder
    run(["umount", folder])


@pytest.fixture
def server(tmp_path, disk):
    """A server whose own data is elsewhere; one user's mailbox is on the small disk."""
    server = Server(tmp_path / "data")
    server.admin("user", "add", HERE, "--password", "demo", "--maildir", disk / "mailbox")
    server.wait_for_account(HERE)
    yield server
    assert server.stop() == 0, server.log.read_text()[-4000:]


def fill_up(disk):
    """Takes what room there is; the file that holds it."""
    ballast = disk / "ballast"
    with open(ballast, "ab", buffering=0) as file, contextlib.suppress(OSError):
        for size in (1 << 20, 4096, 1):
            with contextlib.suppress(OSError):
                while True:
                    file.write(b"\0" * size)
    os.sync()
    return ballast


def identities(imap):
    imap.ok("EXAMINE INBOX")
    untagged, _ = imap.ok("UID FETCH 1:* (BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)])")
    found = [re.search(rb"<(.*)@clients", one.literals[0]) for one in untagged if one.literals]
    return collections.Counter(match[1].decode() for match in found if match)


def walk(folder):
    done = subprocess.run(["gromox-mbck", "-p", folder], executable=BINARY, capture_output=True, text=True)
    problems = [line for line in done.stdout.splitlines() if not line.endswith((": ok", " repaired"))]
    assert done.returncode == 0 and all(": I11: " in line for line in problems), done.stdout + done.stderr


class Deliveries:
    """Deliveries to both users over four connections, until the disk is full; what was promised."""

    def __init__(self, server):
        self.server, self.promised = server, {HERE: set(), ELSEWHERE: set()}
        self.refusals = []

    def run(self, thread):
        lmtp = LmtpClient(self.server)
        for number in range(400):
            identity = f"{thread}.{number}"
            # Some into pages, some into files of their own.
            noise = base64.encodebytes(os.urandom(120_000 if number % 5 == 0 else 12_000)).replace(b"\n", b"\r\n")
            source = plain_message(identity, 30_000) + noise
            replies = lmtp.deliver([HERE, ELSEWHERE], source)
            for user, reply in zip((HERE, ELSEWHERE), replies, strict=True):
                if reply.startswith("250"):
                    self.promised[user].add(identity)
                else:
                    self.refusals.append((user, reply))
            if len(self.refusals) > 20:
                break
        lmtp.close()


def test_disk_full(server, disk):
    with open(disk / "ballast", "wb") as file:
        file.write(b"\0" * (20 << 20))
    deliveries = Deliveries(server)
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        list(pool.map(deliveries.run, range(4)))
    assert deliveries.refusals and {user for user, _ in deliveries.refusals} == {HERE}, deliveries.refusals[:3]
    assert all(reply.startswith("452 4.3.1") for _, reply in deliveries.refusals), set(deliveries.refusals)
    assert len(deliveries.promised[HERE]) > 20

    ballast = fill_up(disk)
    imap = RawImap(server.ports["imap"], HERE)
    imap.ok("SELECT INBOX")
    # Nothing new fits, and nothing else suffers.
    for number in range(50):
        _, tagged = imap.append("INBOX", "()", plain_message(f"append.{number}", 50_000))
        if not tagged.startswith("OK"):
            break
        deliveries.promised[HERE].add(f"append.{number}")
    assert tagged.startswith("NO [UNAVAILABLE]") and "disk is full" in tagged, tagged
    untagged, _ = imap.ok("FETCH 1:5 (FLAGS BODY[])")
    assert len(untagged) >= 5
    for number in range(3000):
        # What was reserved for small changes ends as well.
        _, tagged = imap.command(rf"STORE 1:20 {'+-'[number % 2]}FLAGS.SILENT (\Flagged kept{number})")
        if not tagged.startswith("OK"):
            break
    assert tagged.startswith(("NO [UNAVAILABLE]", "NO [LIMIT]")), tagged
    imap.ok("NOOP")
    pop = poplib.POP3("127.0.0.1", server.ports["pop3"])
    pop.user(HERE)
    pop.pass_("demo")
    assert pop.retr(1)
    pop.close()
    assert LmtpClient(server).deliver([ELSEWHERE], plain_message("everybody else"))[0].startswith("250")
    wait_for_log(server, "no space left")

    # Room again: as if nothing had been.
    ballast.unlink()
    lmtp = LmtpClient(server)
    assert lmtp.deliver([HERE], plain_message("after"))[0].startswith("250")
    deliveries.promised[HERE].add("after")
    lmtp.close()
    imap.ok("STORE 1 +FLAGS (again)")
    found = identities(imap)
    assert set(found.values()) == {1}
    assert deliveries.promised[HERE] <= set(found), deliveries.promised[HERE] - set(found)
    server.kill()
    walk(disk / "mailbox")
    server.start()
    imap = RawImap(server.ports["imap"], HERE)
    assert identities(imap) == found
    assert "again" in imap.ok("FETCH 1 FLAGS")[0][0].line
    imap.close()


def test_disk_full_at_the_start(server, disk):
    """A mailbox that can't even be opened for writing."""
    server.stop()
    ballast = fill_up(disk)
    server.start()
    replies = LmtpClient(server).deliver([HERE, ELSEWHERE], plain_message("full", 100_000))
    assert replies[0].startswith("4") and replies[1].startswith("250"), replies
    ballast.unlink()
    assert LmtpClient(server).deliver([HERE], plain_message("room"))[0].startswith("250")


def served(server, what):
    """Everybody else is."""
    lmtp = LmtpClient(server)
    assert lmtp.deliver([ELSEWHERE], plain_message(what))[0].startswith("250")
    lmtp.close()
    imap = RawImap(server.ports["imap"], ELSEWHERE)
    imap.ok("SELECT INBOX")
    imap.ok("STORE 1 +FLAGS (served)")
    imap.close()


def test_disk_becomes_read_only(server, disk):
    """As ext4 does when it finds itself damaged."""
    lmtp = LmtpClient(server)
    for number in range(10):
        assert lmtp.deliver([HERE], plain_message(f"before {number}"))[0].startswith("250")
    imap = RawImap(server.ports["imap"], HERE)
    imap.ok("SELECT INBOX")
    device = pathlib.Path(run(["findmnt", "-no", "SOURCE", disk]).strip()).name
    pathlib.Path(f"/sys/fs/ext4/{device}/trigger_fs_error").write_text("1")
    replies = lmtp.deliver([HERE, ELSEWHERE], plain_message("read-only"))
    assert replies[0].startswith("4") and replies[1].startswith("250"), replies
    _, tagged = imap.append("INBOX", "()", plain_message("read-only"))
    assert tagged.startswith("NO"), tagged
    served(server, "read-only")
    wait_for_log(server, "mailbox")
    server.stop()
    # What can't be written can't be opened in order either; the others are there.
    server.start()
    refused = RawImap(server.ports["imap"], HERE)
    _, tagged = refused.command("SELECT INBOX")
    assert tagged.startswith(("NO", "OK [READ-ONLY]")), tagged
    served(server, "started read-only")
    wait_for_log(server, "read-?only")
    # The disk is repaired: the server need not be started again.
    run(["umount", disk])
    run(["mount", "-o", "loop,errors=remount-ro", disk.with_suffix(".img"), disk])
    assert LmtpClient(server).deliver([HERE], plain_message("repaired"))[0].startswith("250")
    imap = RawImap(server.ports["imap"], HERE)
    assert set(identities(imap)) >= {f"before {number}" for number in range(10)}
    imap.close()
