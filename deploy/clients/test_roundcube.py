"""Roundcube in Chromium: log in, read, send, the quota's bar, and a folder that is shared with a colleague."""

import email
import email.policy

import pytest

from accounts import connected
from browser import Browser
from conftest import wait_until
from roundcube import Roundcube

pytestmark = pytest.mark.full

ALICE, BOB = "alice@example.test", "bob@example.test"


@pytest.fixture
def web(server, tmp_path):
    with Roundcube(tmp_path / "roundcube", server.ports["imap"], server.ports["submission"]) as roundcube:
        yield roundcube
        assert not roundcube.errors(), roundcube.errors()


@pytest.fixture
def browser(tmp_path):
    # A command that is given while another is under way does nothing.
    with Browser(tmp_path / "browser", busy="window.rcmail && rcmail.busy") as browser:
        yield browser


def log_in(browser, web, user):
    browser.open(web.address)
    browser.type("#rcmloginuser", user)
    browser.type("#rcmloginpwd", "demo")
    browser.click("#rcmloginsubmit")
    browser.wait("return rcmail.env.task == 'mail' && document.querySelectorAll('#messagelist tbody tr').length;")


def log_out(browser):
    browser.top()
    browser.click("a.logout")
    browser.find("#rcmloginuser")


def read(browser, subject):
    """Opens a message of the list; its text."""
    browser.click("#messagelist tbody tr .subject a", subject)
    browser.frame("messagecontframe")
    browser.find("#messagebody")
    assert browser.driver.execute_script("return document.querySelector('.subject').innerText").strip().startswith(subject)
    text = browser.driver.execute_script("return document.querySelector('#messagebody').innerText")
    browser.top()
    return text


def open_folder_settings(browser, name):
    browser.top()
    browser.click("a.settings")
    browser.click("#settings-menu .folders a")
    browser.click("#subscription-table li a", name)
    browser.frame("preferences-frame")
    browser.find("form")


def message_with(client, folder, subject):
    """The only message with this subject, once it is there."""
    wait_until(lambda: client.select_folder(folder) and client.search(["SUBJECT", subject], "UTF-8"), 60)
    uid, = client.search(["SUBJECT", subject], "UTF-8")
    return email.message_from_bytes(client.fetch([uid], ["BODY[]"])[uid][b"BODY[]"], policy=email.policy.default)


def test_log_in_read_send(server, web, browser, tmp_path):
    alice, bob = connected(server.ports["imap"], ALICE), connected(server.ports["imap"], BOB)
    browser.open(web.address)
    browser.type("#rcmloginuser", ALICE)
    browser.type("#rcmloginpwd", "wrong")
    browser.click("#rcmloginsubmit")
    browser.find("#messagestack .error, #messagestack .warning")
    log_in(browser, web, ALICE)
    names = browser.driver.execute_script("return [...document.querySelectorAll('#mailboxlist li a')].map(one => one.getAttribute('rel'));")
    assert set(names) == {"INBOX", "Drafts", "Sent Items", "Junk E-mail", "Deleted Items", "Outbox"}
    alice.append("INBOX", "From: Bob <bob@example.test>\r\nTo: alice@example.test\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n"
                 "Message-ID: <rc@example.test>\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nH\u00f6r mal \u2014 \u65e5\u672c\u8a9e.\r\n".encode())
    # Not by the button for refreshing: while Roundcube still counts what is unread, it may have seen the new message
    # there and find nothing new.
    browser.click("#mailboxlist li.inbox a")
    assert read(browser, "Gr\u00fc\u00dfe").strip() == "H\u00f6r mal \u2014 \u65e5\u672c\u8a9e."
    browser.picture("read")
    wait_until(lambda: alice.select_folder("INBOX") and alice.search(["SEEN", "HEADER", "MESSAGE-ID", "rc@example.test"]), 60)

    attachment = tmp_path / "Zahlen f\u00fcr dich.csv"
    attachment.write_text("1,2\n")
    browser.click("a.compose")
    browser.type("#compose_to .recipient-input input", f"{BOB},")
    browser.type("#compose-subject", "Gr\u00fc\u00dfe aus dem Netz")
    browser.type("#composebody", "Hallo Bob \u2014 hier.")
    browser.driver.find_element("id", "uploadformInput").send_keys(str(attachment))
    browser.wait("return Object.values(rcmail.env.attachments).some(one => one.complete);")
    browser.picture("compose")
    browser.click("button.send")
    browser.wait("return rcmail.env.task == 'mail' && rcmail.env.action != 'compose' && document.querySelector('#messagelist');")
    browser.picture("sent")
    for client, folder in ((alice, "Sent Items"), (bob, "INBOX")):
        message = message_with(client, folder, "aus dem Netz")
        assert message["Subject"] == "Gr\u00fc\u00dfe aus dem Netz" and not message.defects
        assert message.get_body().get_content().strip() == "Hallo Bob \u2014 hier."
        names = [(part.get_filename(), part.get_content().strip()) for part in message.iter_attachments()]
        assert names == [(attachment.name, "1,2")], names

    # Into the bin with the key that people press.
    browser.click("#mailboxlist li.inbox a")
    read(browser, "Gr\u00fc\u00dfe")
    browser.click("a.delete")
    assert message_with(alice, "Deleted Items", "Gr\u00fc\u00dfe")["Message-ID"] == "<rc@example.test>"
    log_out(browser)


def test_the_quota_s_bar(server, web, browser):
    server.admin("user", "change", ALICE, "--quota", "1")
    client = connected(server.ports["imap"], ALICE)

    def used_and_limit():
        (_, (quota,)) = client.get_quota_root("INBOX")[0], client.get_quota_root("INBOX")[1][:1]
        return quota.usage, quota.limit

    wait_until(lambda: len(client.get_quota_root("INBOX")[1]) > 0 and used_and_limit()[1] == 1024, 60)
    before = used_and_limit()[0]
    log_in(browser, web, ALICE)
    shown = browser.wait("return document.querySelector('#rcmquotadisplay')?.innerText;")
    assert shown == f"{round(before / 1024 * 100)}%", (shown, before)
    browser.picture("before")
    client.append("Drafts", b"Subject: large\r\n\r\n" + b"x" * 78 * 4000)
    browser.driver.refresh()
    after = used_and_limit()[0]
    assert after > before + 200
    browser.wait("return document.querySelector('#rcmquotadisplay').innerText == arguments[0];", f"{round(after / 1024 * 100)}%")
    width = browser.driver.execute_script("return document.querySelector('#quotadisplay .value').style.width;")
    assert width == f"{round(after / 1024 * 100)}%"
    browser.picture("after")
    log_out(browser)


def test_a_folder_is_shared(server, web, browser):
    """Alice gives Bob the right to read a folder; he finds it, reads a message, and can't delete it."""
    alice = connected(server.ports["imap"], ALICE)
    alice.create_folder("Projects")
    alice.subscribe_folder("Projects")
    alice.append("Projects", b"From: <carol@example.test>\r\nSubject: the plan\r\nMessage-ID: <plan@example.test>\r\n\r\nAs follows.\r\n")
    log_in(browser, web, ALICE)
    open_folder_settings(browser, "Projects")
    browser.click("a.create")
    browser.top()
    browser.type("#acluser", BOB)
    browser.picture("sharing")
    browser.click(".ui-dialog button.submit")
    browser.frame("preferences-frame")
    browser.wait("return [...document.querySelectorAll('#acltable tbody tr')].some(one => one.innerText.includes(arguments[0]));", BOB)
    browser.top()
    browser.picture("shared")
    # To read; \\Seen is the owner's, as MAPI keeps it.
    assert {name: rights for name, rights in alice.getacl("Projects")}[BOB.encode()] == b"lr"
    log_out(browser)

    shared = f"Other Users/{ALICE}/Projects"
    log_in(browser, web, BOB)
    browser.click("a.settings")
    browser.click("#settings-menu .folders a")
    browser.wait("return !!rcmail.subscription_list;")
    # The switch beside the folder subscribes to it.
    browser.wait("""
        let box = [...document.querySelectorAll('#subscription-table input[type=checkbox]')].find(one => one.value == arguments[0]);
        if (box && !box.checked) box.click();
        return box?.checked;""", shared)
    bob = connected(server.ports["imap"], BOB)
    wait_until(lambda: shared in {name for _, _, name in bob.list_sub_folders()}, 60)
    browser.picture("subscribed")
    browser.open(f"{web.address}?_task=mail&_mbox={shared.replace('/', '%2F').replace(' ', '%20')}")
    browser.wait("return document.querySelectorAll('#messagelist tbody tr').length == 1;")
    assert read(browser, "the plan").strip() == "As follows."
    browser.picture("colleague")
    # The row goes at once, and comes back when that was refused; what is said of it fades soon.
    browser.click("a.delete")
    wait_until(lambda: "_action=move" in (web.folder / "logs/imap.log").read_text(), 60)
    browser.wait("return document.querySelectorAll('#messagelist tbody tr').length == 1;")
    alice.select_folder("Projects")
    assert len(alice.search(["UNDELETED"])) == 1
    log_out(browser)
