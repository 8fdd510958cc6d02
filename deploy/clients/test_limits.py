"""Limits from outside: each is gone past, costs what it may cost, and who keeps to them is served."""

import contextlib
import pathlib
import re
import socket
import time

import pytest

from conftest import LmtpClient, plain_message, wait_for_log, wait_until
from raw_imap import RawImap
from serving import Serve, make_data

# A client that stops reading may cost this much: the socket's buffers are the kernel's, the server's is a slice.
BUFFER_KIB = 16 * 1024


@pytest.fixture
def imap(demo):
    imap = RawImap(demo.ports["imap"], "alice@example.test")
    imap.ok("SELECT INBOX")
    yield imap
    # Whatever was refused: the session goes on.
    imap.ok("NOOP")
    imap.close()


def refused(imap, text, *words, literal=None):
    _, tagged = imap.command(text, literal)
    assert not tagged.startswith("OK"), tagged[:200]
    assert any(word in tagged for word in words), tagged[:200]


def test_lines(demo, imap):
    refused(imap, "SEARCH SUBJECT " + "a" * 70_000, "too long")
    with socket.create_connection(("127.0.0.1", demo.ports["pop3"]), timeout=10) as pop3:
        file = pop3.makefile("rb")
        pop3.sendall(b"USER " + b"a" * 5000 + b"\r\n")
        assert file.readline().startswith(b"+OK") and file.readline() == b"-ERR line too long\r\n"
        assert file.readline() == b"", "what follows such a line is no command"
    lmtp = LmtpClient(demo)
    assert lmtp.command("MAIL FROM:<" + "a" * 5000 + ">").startswith("500")
    assert lmtp.command("MAIL FROM:<" + "a" * 600 + "@b.test>").startswith("5")
    assert lmtp.command("NOOP").startswith("250")
    lmtp.close()


def test_endless_lines_cost_nothing(demo):
    """A line of 50 MB: the server neither keeps it nor goes on for ever."""
    before = resident_kib(demo.ready["pid"])
    for port in ("imap", "pop3", "lmtp"):
        with socket.create_connection(("127.0.0.1", demo.ports[port]), timeout=10) as connection:
            connection.recv(1000)
            with contextlib.suppress(ConnectionError):
                for _ in range(50):
                    connection.sendall(b"a" * 1_000_000)
            assert resident_kib(demo.ready["pid"]) < before + BUFFER_KIB, port


def test_literals(demo, imap):
    # A synchronising literal is refused before it is sent.
    refused(imap, "SEARCH SUBJECT {300000}", "too long")
    refused(imap, "APPEND INBOX {67108865}", "TOOBIG")
    refused(imap, "APPEND INBOX {99999999999999999999}", "BAD", "TOOBIG")
    # One that is sent all the same is swallowed.
    refused(imap, "SEARCH SUBJECT", "too long", literal=b"a" * 300_000)
    early = RawImap(demo.ports["imap"])
    refused(early, "LOGIN alice@example.test {20000}", "too long")
    refused(early, "LOGIN alice@example.test", "too long", literal=b"a" * 20_000)
    early.ok("LOGIN alice@example.test demo")
    early.close()


def test_message_size(tmp_path):
    folder, base = make_data(tmp_path)
    directives = {"data_path": folder, "lda_listen": f"127.0.0.1:{base + 24}",
                  "imap_listen": f"127.0.0.1:{base + 143}", "mail_max_length": "1M"}
    with Serve(tmp_path, directives) as serve:
        lmtp = LmtpClient(serve.as_demo(base))
        assert lmtp.command("MAIL FROM:<a@b.test> SIZE=1048577").startswith("552")
        assert lmtp.command("MAIL FROM:<a@b.test> SIZE=1000").startswith("250")
        assert lmtp.command("RCPT TO:<alice@example.test>").startswith("250")
        assert lmtp.command("DATA").startswith("354")
        # Larger than it said, and than is allowed.
        lmtp.socket.sendall(plain_message(1, 3 << 20) + b".\r\n")
        assert lmtp.reply().startswith("552")
        assert lmtp.deliver(["alice@example.test"], plain_message(2))[0].startswith("250")
        lmtp.close()


def test_recipients(demo):
    lmtp = LmtpClient(demo)
    assert lmtp.command("MAIL FROM:<a@b.test>").startswith("250")
    lmtp.socket.sendall(b"RCPT TO:<alice@example.test>\r\n" * 2001)
    replies = [lmtp.reply() for _ in range(2001)]
    assert all(reply.startswith("250") for reply in replies[:2000]) and replies[2000].startswith("452 4.5.3")
    assert lmtp.command("RSET").startswith("250")
    assert lmtp.deliver(["alice@example.test"], plain_message("limits"))[0].startswith("250")
    lmtp.close()


def test_failures_end_a_session(demo):
    for port, command, last in (("imap", b"a NONSENSE\r\n", b"* BYE"), ("pop3", b"NONSENSE\r\n", b"-ERR"),
                                ("lmtp", b"NONSENSE\r\n", b"421")):
        with socket.create_connection(("127.0.0.1", demo.ports[port]), timeout=10) as connection:
            file = connection.makefile("rb")
            with contextlib.suppress(ConnectionError):
                connection.sendall(command * 500)
            lines = []
            with contextlib.suppress(ConnectionError):
                lines = file.readlines()
            assert 20 <= len(lines) <= 110 and lines[-1].startswith(last), (port, len(lines), lines[-1:])


def test_mailbox_names(imap):
    deepest = "/".join("d" * 64)
    imap.ok(f"CREATE {deepest}")
    refused(imap, f"CREATE {deepest}/e", "LIMIT", "BAD", "CANNOT")
    refused(imap, f"RENAME Drafts {deepest}/e", "LIMIT", "BAD", "CANNOT")
    refused(imap, f"CREATE {'n' * 1025}", "LIMIT", "BAD", "CANNOT")
    imap.ok(f"CREATE {'n' * 200}")
    # Neither by joining what is short enough alone.
    imap.ok("CREATE x/" + "/".join("y" * 60))
    refused(imap, f"RENAME x {'/'.join('z' * 10)}", "LIMIT", "BAD", "CANNOT")
    for name in ("x/y", "d/d"):
        listed = [re.search(r'"/" (.*)', one.line)[1] for one in imap.ok(f'LIST "" "{name}*"')[0]]
        for name in sorted(listed, key=len, reverse=True):
            imap.ok(f"DELETE {name}")


def test_search_programs(imap):
    # Deep, but not too deep.
    imap.ok("SEARCH " + "(" * 30 + "ALL" + ")" * 30)
    refused(imap, "SEARCH " + "(" * 33 + "ALL" + ")" * 33, "BAD", "LIMIT")
    refused(imap, "SEARCH " + "NOT " * 40 + "ALL", "BAD", "LIMIT")
    refused(imap, "SEARCH " + "OR SEEN " * 40 + "ALL", "BAD", "LIMIT")
    refused(imap, "SEARCH" + " SEEN" * 1100, "BAD", "LIMIT")
    refused(imap, "SEARCH " + "(" * 30_000, "BAD", "LIMIT")


def test_lists(imap):
    refused(imap, "FETCH 1" + ",1" * 17_000 + " FLAGS", "BAD")
    refused(imap, "FETCH 1 (" + "FLAGS " * 256 + "FLAGS)", "BAD", "LIMIT")
    refused(imap, f"STORE 1 +FLAGS ({' '.join(f'k{n}' for n in range(257))})", "BAD", "LIMIT")
    refused(imap, f"STORE 1 +FLAGS ({'k' * 129})", "BAD", "LIMIT")
    refused(imap, f"FETCH 1 BODY[HEADER.FIELDS ({' '.join(f'k{n}' for n in range(257))})]", "BAD", "LIMIT")
    many = b"".join(b" {1+}\r\nx" for _ in range(1001))
    imap.socket.sendall(b"m APPEND Drafts" + many + b"\r\n")
    assert re.match(r"(BAD|NO)", imap.answers("m")[1])


def nesting(text):
    depth = deepest = 0
    for character in re.sub(r'"(?:[^"\\]|\\.)*"', "", text):
        depth += (character == "(") - (character == ")")
        deepest = max(deepest, depth)
    return deepest


def test_mime_depth_and_headers(demo, imap):
    """Messages beyond the limits are taken and come back whole; their structure is cut."""
    from messages import beyond_limits
    for name, source in beyond_limits().items():
        imap.ok("APPEND Drafts", source)
    imap.ok("SELECT Drafts")
    for number, (name, source) in enumerate(beyond_limits().items(), 1):
        untagged, _ = imap.ok(f"FETCH {number} (BODYSTRUCTURE)")
        # A level of nesting for the response, one for each part, and its parameters.
        assert nesting(untagged[0].line) < 2 * 48 + 4, name
        assert len(untagged[0].line) < 4 << 20, name
        imap.ok(f"SEARCH {number} TEXT nowhere HEADER X-Long nothing")
        assert imap.ok(f"FETCH {number} BODY.PEEK[]")[0][0].literals[0] == source, name
    imap.ok("STORE 1:* +FLAGS.SILENT (\\Deleted)")
    imap.ok("CLOSE")


def resident_kib(pid):
    return int(re.search(r"VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text())[1])


@pytest.fixture
def serve(tmp_path):
    folder, base = make_data(tmp_path)
    directives = {"data_path": folder, "lda_listen": f"127.0.0.1:{base + 24}",
                  "imap_listen": f"127.0.0.1:{base + 143}", "pop3_listen": f"127.0.0.1:{base + 110}",
                  "imap_conn_timeout": "2", "pop3_conn_timeout": "2", "smtp_conn_timeout": "2",
                  "imap_autologout_time": "4", "connections_per_user": "3", "connections_per_address": "6",
                  "sessions_without_login": "20", "shards": "1"}
    with Serve(tmp_path, directives) as serve:
        yield serve.as_demo(base)


def connect(serve, port, address="127.0.0.1"):
    return socket.create_connection(("127.0.0.1", serve.ports[port]), timeout=10, source_address=(address, 0))


def until_closed(connection):
    """What comes before the server closes; and after how many seconds that is."""
    began, data = time.monotonic(), b""
    with contextlib.suppress(ConnectionError):
        while piece := connection.recv(65536):
            data += piece
    return data, time.monotonic() - began


def test_connections_of_an_address(serve):
    with contextlib.ExitStack() as stack:
        # Of three protocols together; another address has its own count.
        first = [stack.enter_context(connect(serve, port, "127.0.0.5")) for port in ("lmtp",) * 6]
        assert all(one.recv(100) for one in first)
        data, _ = until_closed(stack.enter_context(connect(serve, "imap", "127.0.0.5")))
        assert b"too many" in data, data
        assert stack.enter_context(connect(serve, "imap", "127.0.0.6")).recv(100).startswith(b"* OK")
        wait_for_log(serve, r"127\.0\.0\.5.*too many connections from this address")
        first[0].close()
        wait_until(lambda: connect(serve, "imap", "127.0.0.5").recv(100).startswith(b"* OK"))


def test_sessions_of_a_user(serve):
    sessions = [RawImap(serve.ports["imap"], "alice@example.test") for _ in range(3)]
    fourth = RawImap(serve.ports["imap"])
    with pytest.raises(ConnectionError):
        fourth.ok("LOGIN alice@example.test demo")
        fourth.ok("NOOP")
    RawImap(serve.ports["imap"], "bob@example.test").close()
    sessions[0].ok("LOGOUT")

    def again():
        with contextlib.suppress(ConnectionError):
            RawImap(serve.ports["imap"], "alice@example.test").ok("NOOP")
            return True
    wait_until(again)


def test_sessions_without_login(serve):
    """So many may wait, and none for long; who waits longest gives way; those who are logged in don't count."""
    with contextlib.ExitStack() as stack:
        inside = RawImap(serve.ports["imap"], "alice@example.test")
        waiting = [stack.enter_context(connect(serve, port, f"127.0.0.{n}"))
                   for n, port in enumerate(("imap", "pop3") * 10, 20)]
        assert all(one.recv(1000) for one in waiting)
        time.sleep(0.2)
        newcomers = []
        for n in range(50, 55):
            newcomers.append(stack.enter_context(connect(serve, "pop3", f"127.0.0.{n}")))
            assert newcomers[-1].recv(1000).startswith(b"+OK")
        cut = [one for one in waiting if is_closed(one)]
        assert len(cut) == len(newcomers) and cut[0] is waiting[0], "as many as came, the oldest first"
        waiting = [one for one in waiting if one not in cut]
        # Whoever is silent is cut after the timeout, whoever sends a byte now and then after twice of it.
        began = time.monotonic()
        with contextlib.suppress(ConnectionError):
            while time.monotonic() < began + 7:
                waiting[0].sendall(b"a")
                inside.ok("NOOP")
                time.sleep(0.2)
        assert time.monotonic() - began < 5
        for one in waiting:
            until_closed(one)
        assert time.monotonic() - began < 5
        inside.ok("NOOP")
        RawImap(serve.ports["imap"], "bob@example.test").ok("NOOP")


def is_closed(connection):
    connection.settimeout(0.2)
    try:
        return connection.recv(1000) == b""
    except TimeoutError:
        return False
    finally:
        connection.settimeout(10)


def test_silent_clients_are_cut(serve):
    """Logged in or in the midst of a message: after the time that is configured."""
    imap = RawImap(serve.ports["imap"], "alice@example.test")
    imap.socket.sendall(b"a APPEND INBOX {1000+}\r\nhalf of")
    lmtp = LmtpClient(serve)
    lmtp.command("MAIL FROM:<>")
    lmtp.command("RCPT TO:<alice@example.test>")
    assert lmtp.command("DATA").startswith("354")
    lmtp.socket.sendall(b"Subject: half")
    data, seconds = until_closed(lmtp.socket)
    assert data.startswith(b"421") and 1 < seconds < 4, (data, seconds)
    data, seconds = until_closed(imap.socket)
    assert data.startswith(b"* BYE") and seconds < 5, (data, seconds)


@pytest.mark.parametrize("protocol", ["imap", "pop3"])
def test_clients_that_stop_reading(serve, protocol):
    """They cost the server a slice each, not their answers, nor anybody else a thing; then they are cut."""
    lmtp = LmtpClient(serve)
    users = [f"{name}@example.test" for name in ("alice", "bob", "carol")]
    for number in range(5):
        assert all(reply.startswith("250") for reply in lmtp.deliver(users, plain_message(number, 4 << 20)))
    lmtp.close()
    # What reading a mailbox costs once.
    for user in users:
        stuck(serve, protocol, user).close()
    time.sleep(0.5)
    before = resident_kib(serve.process.pid)
    readers = [stuck(serve, protocol, user) for user in users for _ in range(2)]
    time.sleep(1)
    assert resident_kib(serve.process.pid) < before + BUFFER_KIB
    other = RawImap(serve.ports["imap"], users[0])
    other.ok("SELECT INBOX")
    other.ok("FETCH 1:* (FLAGS)")
    other.close()
    # Cut: what the kernel still has can be read, then there is an end.
    time.sleep(2)
    for reader in readers:
        data, _ = until_closed(reader)
        assert 1000 < len(data) < 20 << 20
        reader.close()
    assert resident_kib(serve.process.pid) < before + BUFFER_KIB


def stuck(serve, protocol, user):
    """A client that asks for a gigabyte, and reads nothing of it."""
    reader = socket.socket()
    reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    reader.settimeout(10)
    reader.bind((f"127.0.1.{USERS_SEEN.setdefault(user, len(USERS_SEEN) + 1)}", 0))
    reader.connect(("127.0.0.1", serve.ports[protocol]))
    if protocol == "imap":
        reader.sendall(f"a LOGIN {user} demo\r\nb SELECT INBOX\r\n".encode() + b"c FETCH 101:105 BODY.PEEK[]\r\n" * 50)
    else:
        reader.sendall(f"USER {user}\r\nPASS demo\r\n".encode() + b"".join(b"RETR %d\r\n" % n for n in range(101, 106)) * 50)
    # Without taking it away: the answer has begun.
    wait_until(lambda: len(reader.recv(4096, socket.MSG_PEEK)) > 1000)
    return reader


USERS_SEEN = {}
