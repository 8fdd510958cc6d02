"""ACL, QUOTA, METADATA, SPECIAL-USE, REPLACE, CATENATE, NOTIFY and PREVIEW with imaplib, IMAPClient and curl."""

import imaplib
import socket
import subprocess

import imapclient
import pytest


def log_in(server, user):
    client = imapclient.IMAPClient("127.0.0.1", server.ports["imap"], ssl=False)
    client.login(f"{user}@example.test", "demo")
    return client


@pytest.fixture
def shared(server):
    """alice's folder, made for one test."""
    alice = log_in(server, "alice")
    alice.create_folder("Shared")
    yield alice

    alice.delete_folder("Shared")
    alice.logout()


def test_capabilities(server):
    client = log_in(server, "alice")
    told = {name.decode().upper() for name in client.capabilities()}
    wanted = ("ACL RIGHTS=kxte QUOTA QUOTA=RES-STORAGE METADATA NOTIFY CATENATE REPLACE PREVIEW LIST-MYRIGHTS "
              "CREATE-SPECIAL-USE")
    assert set(wanted.upper().split()) <= told
    assert any(name.startswith("APPENDLIMIT=") for name in told)
    client.logout()


def test_imapclient_shares_a_folder(server, shared):
    """The commands of IMAPClient: setacl, getacl; imaplib's for the rest."""
    shared.append("Shared", b"Subject: for bob\r\n\r\ntext\r\n")
    name = "Other Users/alice@example.test/Shared"
    bob = log_in(server, "bob")
    assert not bob.folder_exists(name)
    shared.setacl("Shared", "bob@example.test", "lr")
    assert (b"bob@example.test", b"lr") in shared.getacl("Shared")
    assert bob.folder_exists(name)
    bob.select_folder(name, readonly=True)
    assert bob.fetch([1], ["ENVELOPE"])[1][b"ENVELOPE"].subject == b"for bob"
    with pytest.raises(imapclient.exceptions.IMAPClientError):
        bob.getacl(name)
    shared.setacl("Shared", "bob@example.test", "lrswite")
    bob.select_folder(name)
    bob.add_flags([1], [imapclient.FLAGGED])
    bob.unselect_folder()
    # IMAPClient has no DELETEACL of its own.
    assert shared._imap.deleteacl("Shared", "bob@example.test")[0] == "OK"
    assert not bob.folder_exists(name)
    bob.logout()


def test_imaplib_rights_and_quota(server, shared):
    client = imaplib.IMAP4("127.0.0.1", server.ports["imap"])
    client.login("alice@example.test", "demo")
    assert client.myrights("Shared") == ("OK", [b"Shared lrswipkxteacd"])
    assert client.setacl("Shared", "carol@example.test", "lrswi")[0] == "OK"
    status, answer = client.getacl("Shared")
    assert status == "OK" and b"carol@example.test lrswip" in answer[0]
    assert client.deleteacl("Shared", "carol@example.test")[0] == "OK"
    assert b"carol" not in client.getacl("Shared")[1][0]
    status, (roots, quotas) = client.getquotaroot("INBOX")
    assert status == "OK" and roots == [b'INBOX "alice@example.test"']
    assert quotas[0].startswith(b'"alice@example.test" (')
    assert client.getquota("alice@example.test")[0] == "OK"
    assert client.setquota("alice@example.test", "(STORAGE 10)")[0] == "NO"
    client.logout()


def test_imapclient_quota(server):
    client = log_in(server, "alice")
    roots, quotas = client.get_quota_root("INBOX")
    assert roots.quota_roots == ["alice@example.test"] or roots.quota_roots == [b"alice@example.test"]
    for quota in quotas:
        assert quota.resource in (b"STORAGE", b"MESSAGE", "STORAGE", "MESSAGE") and quota.usage <= quota.limit
    client.logout()


def test_imapclient_finds_a_declared_special_folder(server):
    client = log_in(server, "carol")
    # IMAPClient's own method knows no USE.
    assert client._imap._simple_command("CREATE", '"My Archive"', "(USE (\\Archive))")[0] == "OK"
    assert client.find_special_folder(b"\\Archive") == "My Archive"
    client.delete_folder("My Archive")
    client.logout()


def curl(server, *arguments, path=""):
    command = ["curl", "-sS", "-u", "alice@example.test:demo", *arguments]
    return subprocess.run(
        [*command, f"imap://127.0.0.1:{server.ports['imap']}/{path}"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_curl_speaks_the_commands(server, shared):
    assert "* MYRIGHTS Shared lrswipkxteacd" in curl(server, "-X", "MYRIGHTS Shared").stdout
    assert curl(server, "-X", 'SETMETADATA Shared (/private/comment "mine")').returncode == 0
    # curl shows untagged lines only that bear the command's name.
    shown = curl(server, "-v", "-X", "GETMETADATA Shared /private/comment")
    assert '/private/comment "mine"' in shown.stderr
    assert '* QUOTA "alice@example.test"' in curl(server, "-v", "-X", "GETQUOTAROOT INBOX").stderr
    shared.append("Shared", b"Subject: one\r\n\r\nThe first words.\r\n")
    shown = curl(server, "-X", "FETCH 1 (PREVIEW)", path="Shared")
    assert 'PREVIEW "The first words."' in shown.stdout + shown.stderr
    # A message number that is not there.
    assert curl(server, "-X", "FETCH 2 (UID)", path="Shared").returncode != 0


class Raw:
    """A client of a few lines, for what the libraries don't know."""

    def __init__(self, server, user):
        self.socket = socket.create_connection(("127.0.0.1", server.ports["imap"]), timeout=20)
        self.file = self.socket.makefile("rb")
        self.file.readline()
        self.run(f"LOGIN {user}@example.test demo")

    def send(self, text):
        self.socket.sendall(text.encode())

    def line(self):
        return self.file.readline().decode().rstrip("\r\n")

    def run(self, command):
        self.send(f"t {command}\r\n")
        lines = [self.line()]
        while not lines[-1].startswith("t "):
            lines.append(self.line())
        assert lines[-1].startswith("t OK"), lines
        return lines

    def close(self):
        self.run("LOGOUT")
        self.socket.close()


def test_notify_tells_of_other_mailboxes_between_commands(server, shared):
    raw = Raw(server, "alice")
    raw.run("NOTIFY SET (personal (MessageNew MessageExpunge MailboxName))")
    shared.append("Shared", b"Subject: x\r\n\r\n")
    assert raw.line().startswith("* STATUS Shared (MESSAGES 1 UIDNEXT 2 ")
    shared.create_folder("Fresh")
    assert raw.line().endswith(' "/" Fresh')
    shared.delete_folder("Fresh")
    assert raw.line() == '* LIST (\\NonExistent) "/" Fresh'
    raw.close()


def test_a_draft_is_put_together_and_replaced(server, shared):
    shared.append("Shared", b"Subject: draft\r\n\r\nbody\r\n", flags=[imapclient.DRAFT])
    raw = Raw(server, "alice")
    raw.run("SELECT Shared")
    lines = raw.run('REPLACE 1 Shared (\\Draft) CATENATE (URL ";UID=1/;section=HEADER" TEXT {5+}\r\nnewer)')
    assert any("[APPENDUID" in line for line in lines) and "* 1 EXPUNGE" in lines
    raw.close()
    shared.select_folder("Shared", readonly=True)
    assert shared.fetch([2], ["BODY.PEEK[]"])[2][b"BODY[]"] == b"Subject: draft\r\n\r\nnewer"
    shared.unselect_folder()
