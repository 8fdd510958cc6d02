"""ringpost between others: rspamd and Postfix in front as MX, Postfix behind as smart host."""

import email
import email.policy
import smtplib
import subprocess

import pytest

from accounts import connected
from conftest import free_port, need, run, wait_until
from postfix import Postfix
from rspamd import MARKED, REJECTED, Rspamd
from serving import Serve, make_data

ALICE = "alice@example.test"


def messages(port, user, folder, subject):
    """The messages with a subject in a folder."""
    client = connected(port, user)
    client.select_folder(folder, readonly=True)
    found = client.search(["SUBJECT", subject])
    fetched = client.fetch(found, ["BODY.PEEK[]"]) if found else {}
    client.logout()
    return [email.message_from_bytes(items[b"BODY[]"], policy=email.policy.default) for items in fetched.values()]


def swaks(port, *options):
    """What swaks said; it is no failure that the server refused."""
    done = subprocess.run([need("swaks"), "--server", "127.0.0.1", "--port", str(port), *options], capture_output=True, text=True,
                          timeout=120)
    return done.stdout + done.stderr


@pytest.mark.full
def test_rspamd_in_front(tmp_path):
    """Postfix asks rspamd by milter: what it rejects never comes, what it marks is put into the folder for junk."""
    data, base = make_data(tmp_path)
    lmtp, imap = base + 24, base + 143
    directives = {"data_path": data, "lda_listen": f"127.0.0.1:{lmtp}", "imap_listen": f"127.0.0.1:{imap}",
                  "lda_junk_rules": "X-Spam=Yes"}
    with Serve(tmp_path, directives), Rspamd(tmp_path / "rspamd") as rspamd, \
            Postfix(tmp_path / "postfix", free_port(), virtual_mailbox_domains="example.test",
                    virtual_transport=f"smtp:[127.0.0.1]:{lmtp}", smtpd_milters=f"inet:127.0.0.1:{rspamd.port}",
                    milter_default_action="tempfail") as postfix:
        common = ["--from", "sender@example.org", "--to", ALICE, "--ehlo", "client.example.org", "--header-Message-Id"]
        said = swaks(postfix.port, *common, "<ham@example.org>", "--h-Subject", "ham", "--body", "Lunch on Thursday, as ever?")
        assert " 250 2.0.0 Ok: queued" in said, said + rspamd.logged()
        said = swaks(postfix.port, *common, "<marked@example.org>", "--h-Subject", "marked", "--body", MARKED)
        assert " 250 2.0.0 Ok: queued" in said, said + rspamd.logged()
        said = swaks(postfix.port, *common, "<rejected@example.org>", "--h-Subject", "rejected", "--body", REJECTED)
        assert " 554 5.7.1 " in said, said + rspamd.logged()
        try:
            wait_until(lambda: messages(imap, ALICE, "INBOX", "ham"), 60)
            wait_until(lambda: messages(imap, ALICE, "Junk E-mail", "marked"), 60)
        except AssertionError:
            raise AssertionError(postfix.log.read_text() + rspamd.logged()) from None
        ham, = messages(imap, ALICE, "INBOX", "ham")
        assert ham["X-Spamd-Result"] and not ham["X-Spam"], ham.items()
        marked, = messages(imap, ALICE, "Junk E-mail", "marked")
        assert marked["X-Spam"] == "Yes"
        assert not messages(imap, ALICE, "INBOX", "marked")
        assert not messages(imap, ALICE, "INBOX", "rejected") and not messages(imap, ALICE, "Junk E-mail", "rejected")


def test_postfix_behind_as_smart_host(tmp_path):
    """Alice submits for people elsewhere: Postfix takes it on, or says why not, which Alice is told in a report."""
    data, base = make_data(tmp_path)
    submission, imap = base + 587, base + 143
    tables = tmp_path / "mailboxes"
    tables.write_text("carol@remote.example carol/\ndave@remote.example dave/\n")
    with Postfix(tmp_path / "postfix", free_port(), virtual_mailbox_domains="remote.example",
                 virtual_mailbox_maps=f"texthash:{tables}", smtpd_recipient_restrictions="permit_auth_destination,reject") as postfix:
        directives = {"data_path": data, "submission_listen": f"127.0.0.1:{submission}", "imap_listen": f"127.0.0.1:{imap}",
                      "outgoing_smtp_url": f"smtp://127.0.0.1:{postfix.port}"}
        with Serve(tmp_path, directives):
            for number in range(10):
                said = swaks(submission, "--auth", "PLAIN", "--auth-user", ALICE, "--auth-password", "demo", "--from", ALICE,
                             "--to", "carol@remote.example,dave@remote.example,gone@remote.example,bob@example.test",
                             "--h-Subject", f"going out {number}", "--body", ".\n.hidden\nThe end.")
                assert "235 " in said and said.count("250 2.1.5") == 4, said
            try:
                wait_until(lambda: len(postfix.kept("carol")) == len(postfix.kept("dave")) == 10, 60)
                wait_until(lambda: len(messages(imap, "bob@example.test", "INBOX", "going out")) == 10, 60)
                wait_until(lambda: len(reports(imap)) == 10, 60)
            except AssertionError:
                raise AssertionError(postfix.log.read_text()) from None
            for name in ("carol", "dave"):
                kept = [email.message_from_bytes(source, policy=email.policy.default) for source in postfix.kept(name)]
                assert {message["Subject"] for message in kept} == {f"going out {number}" for number in range(10)}
                assert all(message["Return-Path"] == f"<{ALICE}>" for message in kept)
                assert all(message.get_content().rstrip() == ".\n.hidden\nThe end." for message in kept)
            for report in reports(imap):
                status = next(part for part in report.walk() if part.get_content_type() == "message/delivery-status")
                recipient = status.get_payload()[1]
                assert recipient["Final-Recipient"] == "rfc822; gone@remote.example" and recipient["Action"] == "failed"
                assert recipient["Status"].startswith("5."), recipient.items()
            # Nothing was sent twice, and nobody else was told.
            assert len(postfix.kept("carol")) == len(postfix.kept("dave")) == 10 and len(reports(imap)) == 10
            assert postfix.logged(r"(?s)gone@remote\.example.*User unknown")


@pytest.mark.parametrize("mailer", ["postfix", "msmtp"])
def test_sendmail_of_another_mail_server(tmp_path, monkeypatch, mailer):
    """`sendmail://`: a program takes the message, as Postfix's and msmtp's do, with all that belongs to it; what the
    mail server behind it can't deliver it reports itself, and what the program refuses ringpost reports."""
    data, base = make_data(tmp_path)
    submission, lmtp, imap = base + 587, base + 24, base + 143
    tables = tmp_path / "mailboxes"
    tables.write_text("carol@remote.example carol/\n-odd@remote.example -odd/\n")
    with Postfix(tmp_path / "postfix", free_port(), virtual_mailbox_domains="remote.example",
                 virtual_mailbox_maps=f"texthash:{tables}", transport_maps=f"inline:{{ {{example.test=smtp:[127.0.0.1]:{lmtp}}} }}",
                 authorized_submit_users="static:anyone", allow_min_user="yes",
                 smtpd_recipient_restrictions="permit_auth_destination,reject") as postfix:
        if mailer == "postfix":
            # The program itself, at its own place.
            monkeypatch.setenv("MAIL_CONFIG", str(postfix.configuration))
        else:
            monkeypatch.setenv("RINGPOST_SENDMAIL", str(msmtp(tmp_path, postfix.port)))
        directives = {"data_path": data, "submission_listen": f"127.0.0.1:{submission}", "imap_listen": f"127.0.0.1:{imap}",
                      "lda_listen": f"127.0.0.1:{lmtp}", "outgoing_smtp_url": "sendmail://localhost"}
        with Serve(tmp_path, directives) as serve:
            body = ".\n.hidden\nFrom here on\nThe end."
            for number, recipients in enumerate(["carol@remote.example,-odd@remote.example", "gone@remote.example"]):
                said = swaks(submission, "--auth", "PLAIN", "--auth-user", ALICE, "--auth-password", "demo", "--from", ALICE,
                             "--to", recipients, "--h-Subject", f"by a program {number}", "--body", body)
                assert "235 " in said and said.count("250 2.1.5") == recipients.count("@"), said
            # msmtp knows no envelope ids: it gets this one without what the sender wants to be told.
            with smtplib.SMTP("127.0.0.1", submission) as client:
                client.login(ALICE, "demo")
                client.sendmail(ALICE, ["carol@remote.example"], f"From: {ALICE}\nSubject: tell me\n\nhello\n",
                                mail_options=["RET=HDRS", "ENVID=an+2Bid"], rcpt_options=["NOTIFY=SUCCESS"])
            try:
                wait_until(lambda: len(postfix.kept("carol")) == 2 and postfix.kept("-odd"), 60)
                wait_until(lambda: len(reports(imap)) == 2, 60)
            except AssertionError:
                raise AssertionError(postfix.log.read_text() + serve.log.read_text()) from None
            for name in ("carol", "-odd"):
                kept = [email.message_from_bytes(source, policy=email.policy.default) for source in postfix.kept(name)]
                first, = [message for message in kept if message["Subject"] == "by a program 0"]
                assert first["Return-Path"] == f"<{ALICE}>"
                assert first.get_content().rstrip() == body
            told = {}
            for report in reports(imap):
                status = next(part for part in report.walk() if part.get_content_type() == "message/delivery-status")
                told[status.get_payload()[1]["Final-Recipient"]] = status.get_payload()
            message, gone = told["rfc822; gone@remote.example"]
            assert gone["Action"] == "failed" and gone["Status"].startswith("5."), gone.items()
            message, carol = told["rfc822; carol@remote.example"]
            assert message["Original-Envelope-Id"] == "an+id", message.items()
            assert carol["Action"] == ("delivered" if mailer == "postfix" else "relayed"), carol.items()


def msmtp(folder, port):
    """msmtp as a `sendmail` of its own: a program that is told where to send and nothing else."""
    settings = folder / "msmtprc"
    settings.write_text(f"account default\nhost 127.0.0.1\nport {port}\ntls off\nauth off\n")
    program = folder / "sendmail"
    program.write_text(f'#!/bin/sh\nexec {need("msmtp")} -C {settings} "$@"\n')
    program.chmod(0o755)
    return program


def reports(imap):
    """The delivery reports in Alice's inbox."""
    client = connected(imap, ALICE)
    client.select_folder("INBOX", readonly=True)
    found = client.search(["HEADER", "Content-Type", "multipart/report"])
    fetched = client.fetch(found, ["BODY.PEEK[]"]) if found else {}
    client.logout()
    return [email.message_from_bytes(items[b"BODY[]"], policy=email.policy.default) for items in fetched.values()]
