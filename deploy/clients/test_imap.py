"""IMAP with Python's imaplib, IMAPClient and aioimaplib."""

import asyncio
import imaplib
import ssl
import time

import aioimaplib
import imapclient
import pytest

from conftest import LmtpClient, plain_message


@pytest.fixture
def alice(server):
    connection = imaplib.IMAP4("127.0.0.1", server.ports["imap"])
    connection.login("alice@example.test", "demo")
    yield connection
    connection.logout()


def ok(answer):
    kind, data = answer
    assert kind == "OK", answer
    return data


def test_login_refused_then_accepted(server):
    connection = imaplib.IMAP4("127.0.0.1", server.ports["imap"])
    with pytest.raises(imaplib.IMAP4.error):
        connection.login("alice@example.test", "wrong")
    assert ok(connection.login("alice@example.test", "demo"))
    connection.logout()


def test_select_fetch_store_expunge(alice):
    count = int(ok(alice.select("INBOX"))[0])
    assert count >= 100
    uids = ok(alice.uid("search", None, "ALL"))[0].split()
    assert len(uids) == count
    data = ok(alice.uid("fetch", uids[0], "(RFC822 FLAGS INTERNALDATE RFC822.SIZE)"))
    header, source = data[0]
    assert f"RFC822.SIZE {len(source)}".encode() in header + data[1]
    ok(alice.uid("store", uids[0], "+FLAGS", r"(\Deleted \Flagged custom)"))
    flags = imaplib.ParseFlags(ok(alice.uid("fetch", uids[0], "(FLAGS)"))[0])
    assert {rb"\Deleted", rb"\Flagged", b"custom"} <= set(flags)
    ok(alice.expunge())
    assert len(ok(alice.uid("search", None, "ALL"))[0].split()) == count - 1


def test_folders(alice):
    ok(alice.create("Projects/Storage"))
    names = [line.decode().rsplit(' "/" ', 1)[1].strip('"') for line in ok(alice.list())]
    assert {"INBOX", "Projects", "Projects/Storage"} <= set(names)
    ok(alice.rename("Projects", "Old"))
    ok(alice.append("Old/Storage", r"(\Seen)", '"24-Nov-2026 10:00:00 +0000"', plain_message(1)))
    assert ok(alice.select("Old/Storage")) == [b"1"]
    ok(alice.close())
    ok(alice.delete("Old/Storage"))
    ok(alice.delete("Old"))


def test_starttls_and_implicit_tls(server, client_tls):
    connection = imaplib.IMAP4("127.0.0.1", server.ports["imap"])
    connection.starttls(client_tls)
    ok(connection.login("bob@example.test", "demo"))
    connection.logout()
    connection = imaplib.IMAP4_SSL("127.0.0.1", server.ports["imaps"], ssl_context=client_tls)
    ok(connection.login("bob@example.test", "demo"))
    ok(connection.select("INBOX"))
    connection.logout()


def test_old_tls_is_refused(server):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(ssl.SSLError):
        imaplib.IMAP4_SSL("127.0.0.1", server.ports["imaps"], ssl_context=context)


def imap_client(server, user="alice"):
    client = imapclient.IMAPClient("127.0.0.1", server.ports["imap"], ssl=False)
    client.login(f"{user}@example.test", "demo")
    return client


def test_imapclient_walks_everything(server):
    client = imap_client(server)
    for capability in (b"IDLE", b"MOVE", b"CONDSTORE", b"QRESYNC", b"ESEARCH", b"UIDPLUS", b"SPECIAL-USE"):
        assert client.has_capability(capability), capability
    client.select_folder("INBOX")
    uids = client.search()
    fetched = client.fetch(uids, ["ENVELOPE", "BODYSTRUCTURE", "FLAGS", "INTERNALDATE", "RFC822.SIZE"])
    assert len(fetched) == len(uids)
    assert all(row[b"ENVELOPE"].message_id for row in fetched.values())
    assert client.thread("REFERENCES")
    assert set(client.sort("REVERSE DATE")) == set(uids)
    unseen = client.search(["UNSEEN"])
    assert unseen and set(unseen) < set(uids)
    client.create_folder("Moved")
    client.move(uids[:3], "Moved")
    assert client.folder_status("Moved")[b"MESSAGES"] == 3
    assert client.find_special_folder(b"\\Sent")
    client.logout()


def test_idle_reports_new_mail_at_once(server):
    client = imap_client(server, "carol")
    client.select_folder("INBOX")
    client.idle()
    lmtp = LmtpClient(server)
    began = time.monotonic()
    assert lmtp.deliver(["carol@example.test"], plain_message(7))[0].startswith("250")
    answers = client.idle_check(timeout=5)
    assert any(answer[1] == b"EXISTS" for answer in answers), answers
    assert time.monotonic() - began < 1
    client.idle_done()
    client.logout()


def test_aioimaplib(server):
    async def session():
        client = aioimaplib.IMAP4(host="127.0.0.1", port=server.ports["imap"], timeout=10)
        await client.wait_hello_from_server()
        assert (await client.login("bob@example.test", "demo")).result == "OK"
        assert (await client.select("INBOX")).result == "OK"
        answer = await client.uid("fetch", "1:5", "(FLAGS BODY.PEEK[HEADER.FIELDS (SUBJECT)])")
        assert answer.result == "OK" and any(b"Subject:" in bytes(line) for line in answer.lines)
        idle = await client.idle_start(timeout=10)
        LmtpClient(server).deliver(["bob@example.test"], plain_message(8))
        pushed = await client.wait_server_push()
        assert any(b"EXISTS" in line for line in pushed), pushed
        client.idle_done()
        await asyncio.wait_for(idle, 5)
        await client.logout()

    asyncio.run(session())
