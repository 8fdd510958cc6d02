"""Thunderbird under Xvfb: an account set up by its dialog and by a prepared profile; reading, replying with an
attachment, deleting. Each step leaves a picture in the test's folder, for a person to look at."""

import email
import email.policy
import http.server
import threading
from email.message import EmailMessage

import pytest

from accounts import connected
from conftest import LmtpClient, wait_until
from desktop import Screen
from thunderbird import MAIL_SERVICES, Thunderbird

pytestmark = pytest.mark.full

ALICE, BOB = "alice@example.test", "bob@example.test"


@pytest.fixture
def screen(tmp_path):
    folder = tmp_path / "desk"
    folder.mkdir()
    with Screen(folder) as screen:
        yield screen


def to_be_read():
    message = EmailMessage()
    message["From"], message["To"] = f"Bob <{BOB}>", f"Alice <{ALICE}>"
    message["Subject"], message["Message-ID"] = "Gr\u00fc\u00dfe, a table and a note", "<read@clients.example.org>"
    message["Date"] = "Tue, 24 Nov 2026 10:00:00 +0000"
    message.set_content("Plain words: Gr\u00fc\u00dfe.\n")
    message.add_alternative("<p>Formatted words: <b>Gr\u00fc\u00dfe</b> \u2014 \u65e5\u672c\u8a9e.</p>", subtype="html")
    message.add_attachment(b"1,2\n3,4\n", maintype="text", subtype="csv", filename="Zahlen f\u00fcr dich.csv")
    return message.as_bytes(policy=email.policy.SMTP)


def sources(server, user, folder):
    """The messages of a folder and their flags."""
    client = connected(server.ports["imap"], user)
    client.select_folder(folder, readonly=True)
    found = client.search()
    fetched = client.fetch(found, ["BODY.PEEK[]", "FLAGS"]) if found else {}
    client.logout()
    return [(email.message_from_bytes(items[b"BODY[]"], policy=email.policy.default), items[b"FLAGS"])
            for items in fetched.values()]


def with_id(messages, message_id):
    return [(message, flags) for message, flags in messages if message["Message-ID"] == message_id]


def test_read_reply_with_an_attachment_delete(server, screen, tmp_path):
    """An account that an administrator has prepared."""
    account = {
        "mail.accountmanager.accounts": "account1,account2", "mail.accountmanager.defaultaccount": "account1",
        "mail.account.account1.server": "server1", "mail.account.account1.identities": "id1",
        "mail.server.server1.type": "imap", "mail.server.server1.hostname": "127.0.0.1",
        "mail.server.server1.port": server.ports["imap"], "mail.server.server1.userName": ALICE,
        "mail.server.server1.name": ALICE, "mail.server.server1.socketType": 0, "mail.server.server1.authMethod": 3,
        "mail.server.server1.login_at_startup": False, "mail.server.server1.check_new_mail": False,
        "mail.account.account2.server": "server2", "mail.server.server2.type": "none",
        "mail.server.server2.hostname": "Local Folders", "mail.server.server2.userName": "nobody",
        "mail.server.server2.name": "Local Folders",
        "mail.identity.id1.useremail": ALICE, "mail.identity.id1.fullName": "Alice", "mail.identity.id1.valid": True,
        "mail.identity.id1.smtpServer": "smtp1", "mail.smtpservers": "smtp1", "mail.smtp.defaultserver": "smtp1",
        "mail.smtpserver.smtp1.hostname": "127.0.0.1", "mail.smtpserver.smtp1.port": server.ports["submission"],
        "mail.smtpserver.smtp1.username": ALICE, "mail.smtpserver.smtp1.authMethod": 3, "mail.smtpserver.smtp1.try_ssl": 0,
    }
    attachment = tmp_path / "Antwort \u2013 report.txt"
    attachment.write_text("what was asked for\n")
    with Thunderbird(screen, account) as thunderbird:
        thunderbird.remember_password("imap", ALICE, "demo")
        thunderbird.remember_password("smtp", ALICE, "demo")
        thunderbird.open_inbox()
        assert {"INBOX", "Drafts", "Sent Items", "Deleted Items", "Junk E-mail"} <= set(thunderbird.folders())
        # The folder is open: Thunderbird waits in IDLE and is told.
        lmtp = LmtpClient(server)
        assert lmtp.deliver([ALICE], to_be_read(), BOB)[0].startswith("250")
        lmtp.close()
        shown = thunderbird.read("read@clients.example.org")
        assert shown["subject"] == "Gr\u00fc\u00dfe, a table and a note" and shown["author"] == f"Bob <{BOB}>"
        assert "Formatted words: Gr\u00fc\u00dfe \u2014 \u65e5\u672c\u8a9e." in shown["text"] and shown["bold"] == ["Gr\u00fc\u00dfe"]
        assert shown["attachments"] == ["Zahlen f\u00fcr dich.csv"]
        screen.picture("read")

        sent_before, bob_before = len(sources(server, ALICE, "Sent Items")), len(sources(server, BOB, "INBOX"))
        thunderbird.reply("Thank you, all of it.", attachment, "compose")
        screen.picture("sent")
        wait_until(lambda: len(sources(server, BOB, "INBOX")) > bob_before, 60)
        wait_until(lambda: len(sources(server, ALICE, "Sent Items")) > sent_before, 60)
        for user, folder in ((BOB, "INBOX"), (ALICE, "Sent Items")):
            message = next(message for message, _ in reversed(sources(server, user, folder))
                           if message["In-Reply-To"] == "<read@clients.example.org>")
            assert message["Subject"] == "Re: Gr\u00fc\u00dfe, a table and a note" and not message.defects
            assert "Thank you, all of it." in message.get_body(("plain",)).get_content()
            names = {part.get_filename(): part.get_content() for part in message.iter_attachments()}
            assert names == {attachment.name: "what was asked for\n"}, names
        (_, flags), = with_id(sources(server, ALICE, "INBOX"), "<read@clients.example.org>")
        assert {b"\\Seen", b"\\Answered"} <= set(flags), flags

        thunderbird.delete()
        wait_until(lambda: with_id(sources(server, ALICE, "Deleted Items"), "<read@clients.example.org>"), 60)
        wait_until(lambda: not [1 for _, flags in with_id(sources(server, ALICE, "INBOX"), "<read@clients.example.org>")
                                if b"\\Deleted" not in flags], 60)
        screen.picture("deleted")


class Settings(http.server.BaseHTTPRequestHandler):
    """What a provider publishes about its servers, where Thunderbird looks for it."""
    answer = b""

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/xml")
        self.send_header("Content-Length", str(len(self.answer)))
        self.end_headers()
        self.wfile.write(self.answer)

    def log_message(self, *_):
        pass


@pytest.fixture
def settings(server):
    """A running web server with the settings; its address."""
    Settings.answer = f"""<?xml version="1.0"?>
<clientConfig version="1.1"><emailProvider id="example.test">
<domain>example.test</domain><displayName>Example</displayName><displayShortName>Example</displayShortName>
<incomingServer type="imap"><hostname>127.0.0.1</hostname><port>{server.ports['imaps']}</port><socketType>SSL</socketType>
<username>%EMAILADDRESS%</username><authentication>password-cleartext</authentication></incomingServer>
<outgoingServer type="smtp"><hostname>127.0.0.1</hostname><port>{server.ports['submission']}</port><socketType>plain</socketType>
<username>%EMAILADDRESS%</username><authentication>password-cleartext</authentication></outgoingServer>
</emailProvider></clientConfig>""".encode()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Settings) as web:
        threading.Thread(target=web.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{web.server_port}/"
        web.shutdown()


def test_the_account_dialog(server, screen, settings, tmp_path):
    """As a new user: name and address, settings found, password; the demo's own certificate is accepted."""
    with Thunderbird(screen, {"mailnews.auto_config_url": settings}) as thunderbird:
        remote = thunderbird.remote
        remote.clear("#realName")
        remote.type("#realName", "Alice")
        remote.type("#email", ALICE)
        remote.click("#forward:not(:disabled)")
        remote.find("#imap")
        screen.picture("found")
        remote.click("#forward:not(:disabled)")
        remote.type("#password", "demo")
        screen.picture("password")
        remote.click("#forward:not(:disabled)")
        thunderbird.other_window()
        remote.wait_for('return document.querySelector("dialog")?.getButton("extra1")?.disabled === false;')
        screen.picture("certificate")
        remote.script('document.querySelector("dialog").getButton("extra1").click();')
        thunderbird.main_window()
        remote.find("email-added-success")
        screen.picture("done")
        remote.click("#forward:not(:disabled)")
        thunderbird.open_inbox()
        server_of_account = remote.script(f"""{MAIL_SERVICES}
            let server = MailServices.accounts.defaultAccount.incomingServer;
            return [server.type, server.port, server.username, server.socketType];""")
        assert server_of_account == ["imap", server.ports["imaps"], ALICE, 3]
        shown = thunderbird.read("alice.0.0@example.test")
        assert shown["subject"]
        screen.picture("inbox")
        # The password that was given once is good for sending, too.
        attachment = tmp_path / "note.txt"
        attachment.write_text("a note\n")
        before = len(sources(server, ALICE, "Sent Items"))
        thunderbird.reply("From the new account.", attachment, "first")
        wait_until(lambda: len(sources(server, ALICE, "Sent Items")) == before + 1, 60)
