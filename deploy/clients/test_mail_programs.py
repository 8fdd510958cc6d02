"""Mail programs people use: mbsync, OfflineIMAP, neomutt, mutt, getmail, curl."""

import email
import email.policy
import importlib.util
import os
import pathlib
import pwd
import re
import shutil
import subprocess
import sys

from accounts import connected
from conftest import LmtpClient, need, plain_message, run, wait_until, with_crlf
from postfix import open_to_others

MESSAGES = 5000


def fill(server, address, count):
    lmtp = LmtpClient(server)
    for number in range(count):
        assert lmtp.deliver([address], plain_message(number, 300))[0].startswith("250")
    lmtp.close()


def test_mbsync_both_ways(server, tmp_path):
    server.add_user("sync@example.test")
    fill(server, "sync@example.test", MESSAGES)
    local = tmp_path / "maildir"
    local.mkdir()
    configuration = tmp_path / "mbsyncrc"
    # Compressed, the alike messages arrive in one read; if writing them with a sync each took longer than the
    # timeout, mbsync would take the server for dead.
    configuration.write_text(f"""
FSync no

IMAPAccount ringpost
Host 127.0.0.1
Port {server.ports['imap']}
User sync@example.test
Pass demo
Timeout 60
SSLType None
AuthMechs LOGIN

IMAPStore far
Account ringpost

MaildirStore near
Path {local}/
Inbox {local}/INBOX
SubFolders Verbatim

Channel all
Far :far:
Near :near:
Patterns *
Create Both
Expunge Both
Sync All
SyncState *
""")
    mbsync = [need("mbsync"), "-c", configuration, "-a"]
    run(mbsync, timeout=300)
    inbox = local / "INBOX"
    files = [p for folder in ("cur", "new") for p in (inbox / folder).iterdir()]
    assert len(files) == MESSAGES
    # A changed second run: flags set, messages removed and added, on both sides.
    files.sort(key=lambda path: path.name)
    for path in files[:10]:
        path.rename(inbox / "cur" / (path.name.partition(":")[0] + ":2,FS"))
    removed = files[-1].read_bytes()
    files[-1].unlink()
    (inbox / "new" / "1700000000.1_1.host").write_bytes(plain_message("local"))
    fill(server, "sync@example.test", 5)
    run(mbsync, timeout=300)
    files = [p for folder in ("cur", "new") for p in (inbox / folder).iterdir()]
    # One message less and one more here, five more there.
    assert len(files) == MESSAGES + 5
    sources = {path.read_bytes() for path in files}
    assert removed not in sources and len(sources) >= MESSAGES - 1
    curl = [need("curl"), "-sS", "-u", "sync@example.test:demo"]
    found = run([*curl, f"imap://127.0.0.1:{server.ports['imap']}/INBOX", "-X", "SEARCH FLAGGED"])
    assert len(found.split()) == 2 + 10, found


def test_offlineimap(server, tmp_path):
    local = tmp_path / "maildir"
    configuration = tmp_path / "offlineimaprc"
    configuration.write_text(f"""
[general]
accounts = demo
metadata = {tmp_path}/metadata
ui = basic

[Account demo]
localrepository = here
remoterepository = there

[Repository here]
type = Maildir
localfolders = {local}

[Repository there]
type = IMAP
remotehost = 127.0.0.1
remoteport = {server.ports['imap']}
remoteuser = bob@example.test
remotepass = demo
ssl = no
starttls = no
""")
    run([need("offlineimap"), "-c", configuration, "-o", "-1"], timeout=300)
    files = [p for p in pathlib.Path(local).rglob("*") if p.is_file() and p.parent.name in ("cur", "new")]
    assert len(files) >= 100
    run([need("offlineimap"), "-c", configuration, "-o", "-1"], timeout=300)
    assert len([p for p in pathlib.Path(local).rglob("*") if p.is_file() and p.parent.name in ("cur", "new")]) == len(files)


def test_neomutt_copies_a_message(server, tmp_path):
    target = tmp_path / "saved"
    configuration = tmp_path / "neomuttrc"
    (tmp_path / "cache").mkdir()
    url = f"imap://127.0.0.1:{server.ports['imap']}/INBOX"
    # Whatever it would ask is answered here: it has no terminal to ask at.
    configuration.write_text(f"""
set imap_user=carol@example.test imap_pass=demo imap_authenticators=plain
set ssl_starttls=no ssl_force_tls=no
set folder={tmp_path} record="" postponed="" mbox="" spool_file=""
set mbox_type=mbox confirm_create=no confirm_append=no delete=yes mark_old=no quit=yes
set header_cache={tmp_path}/cache
push "<first-entry><copy-message>{target}<enter><quit>"
""")
    run(["script", "-qec", f"{need('neomutt')} -n -F {configuration} -f '{url}'", "/dev/null"],
        env={"TERM": "xterm", "HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}, stdin=subprocess.DEVNULL, timeout=30)
    assert "Message-ID: <carol." in target.read_text(errors="replace")


def test_curl_reads_and_appends(server, tmp_path):
    curl = [need("curl"), "-sS", "-u", "alice@example.test:demo"]
    url = f"imap://127.0.0.1:{server.ports['imap']}"
    assert "INBOX" in run([*curl, f"{url}/"])
    assert "Message-ID: <alice.0.0@example.test>" in run([*curl, f"{url}/INBOX;MAILINDEX=1"])
    message = tmp_path / "message.eml"
    message.write_bytes(plain_message("curl"))
    run([*curl, "-T", message, f"{url}/Drafts"])
    assert "curl@clients.example.org" in run([*curl, f"{url}/Drafts;MAILINDEX=1"])
    assert run([*curl, "-k", f"imaps://127.0.0.1:{server.ports['imaps']}/INBOX;UID=1"])


def mutt_at(port, user, folder, commands="", smtp=None):
    """Writes a configuration of mutt for an account here; its command line and environment."""
    folder.mkdir(exist_ok=True)
    (folder / "cache").mkdir(exist_ok=True)
    configuration = folder / "muttrc"
    configuration.write_text(f"""
set imap_user={user} imap_pass=demo smtp_pass=demo ssl_starttls=no ssl_force_tls=no
set folder="imap://127.0.0.1:{port}/" spoolfile="+INBOX" record="+Sent Items" postponed="+Drafts" mbox=""
set smtp_url="{smtp or ''}" from="{user}" realname="A person" use_envelope_from=yes
set confirmappend=no confirmcreate=no delete=yes mark_old=no quit=yes move=no wait_key=no resolve=no copy=yes
set header_cache={folder}/cache mbox_type=mbox mime_forward=no fast_reply=yes include=yes editor="true"
{commands}
""")
    return [need("mutt"), "-n", "-F", str(configuration)], {"TERM": "xterm", "HOME": str(folder), "PATH": "/usr/bin:/bin",
                                                            "LANG": "C.UTF-8", "USER": "nobody"}


def mutt_presses(port, user, folder, keys):
    """mutt at a terminal that nobody sees, with these keys pressed in the inbox."""
    command, environment = mutt_at(port, user, folder, f'push "{keys}"')
    run(["script", "-qec", " ".join(command), "/dev/null"], env=environment, stdin=subprocess.DEVNULL, timeout=60)


def test_mutt_reads_files_flags_and_deletes(server, tmp_path):
    """What a person does in mutt's index: saves into a folder, copies to a file, flags, deletes, leaves."""
    user, port = "carol@example.test", server.ports["imap"]
    client = connected(port, user)
    client.create_folder("Kept")
    client.select_folder("INBOX")
    uids = client.search()
    ids = {uid: client.fetch([uid], ["ENVELOPE"])[uid][b"ENVELOPE"].message_id.decode() for uid in uids[:4]}
    saved = tmp_path / "saved"
    mutt_presses(port, user, tmp_path / "mutt",
                 f"<first-entry><copy-message>^U{saved}<enter><flag-message><next-entry><save-message>^U=Kept<enter>"
                 "<next-entry><delete-message><next-entry><display-message><exit><sync-mailbox><quit>".replace("^U", "\\Cu"))
    assert ids[uids[0]] in saved.read_text(errors="replace")
    client.noop()
    client.select_folder("INBOX")
    left = client.fetch(client.search(), ["FLAGS"])
    assert not {uids[1], uids[2]} & set(left) and len(left) == len(uids) - 2
    assert b"\\Flagged" in left[uids[0]][b"FLAGS"] and b"\\Seen" in left[uids[3]][b"FLAGS"]
    client.select_folder("Kept")
    assert [items[b"ENVELOPE"].message_id.decode() for items in client.fetch(client.search(), ["ENVELOPE"]).values()] == [ids[uids[1]]]
    client.logout()


def test_mutt_sends_with_an_attachment(server, tmp_path):
    """Submission by mutt itself, a file attached, a copy into the folder of sent mail."""
    attachment = tmp_path / "Zahlen f\u00fcr dich.csv"
    attachment.write_text("1,2\n")
    command, environment = mutt_at(server.ports["imap"], "carol@example.test", tmp_path / "mutt",
                                   smtp=f"smtp://carol@example.test@127.0.0.1:{server.ports['submission']}")
    run([*command, "-s", "Gr\u00fc\u00dfe von mutt", "-a", attachment, "--", "bob@example.test"], input="Hallo \u2014 hier.\n",
        env=environment)
    for user, folder in (("carol@example.test", "Sent Items"), ("bob@example.test", "INBOX")):
        client = connected(server.ports["imap"], user)
        wait_until(lambda: client.select_folder(folder) and client.search(["SUBJECT", "von mutt"]), 30)
        uid, = client.search(["SUBJECT", "von mutt"])
        message = email.message_from_bytes(client.fetch([uid], ["BODY[]"])[uid][b"BODY[]"], policy=email.policy.default)
        assert message["Subject"] == "Gr\u00fc\u00dfe von mutt" and not message.defects
        assert message.get_body().get_content().split("\r\n") == ["Hallo \u2014 hier.", ""]
        assert [(part.get_filename(), part.get_content().strip()) for part in message.iter_attachments()] == [(attachment.name, "1,2")]
        client.logout()


def getmail_in(folder):
    """A copy of getmail for one who may not be able to read the Python packages of these tests. Debian's release waits
    for good for a child that ends before it listens for that, which under load is one message in hundreds."""
    shutil.copytree(pathlib.Path(importlib.util.find_spec("getmailcore").origin).parent, folder / "program/getmailcore")
    return shutil.copy(pathlib.Path(sys.prefix) / "bin/getmail", folder / "program/getmail")


def test_getmail_over_imap_and_pop3(server, tmp_path):
    """getmail fetches a mailbox into a Maildir, by IMAP leaving it and by POP3 emptying it; a second run fetches
    nothing."""
    user, count = "carol@example.test", 100
    client = connected(server.ports["imap"], user)
    client.select_folder("INBOX")
    uids = client.search()
    theirs = {items[b"BODY[]"] for items in client.fetch(uids, ["BODY.PEEK[]"]).values()}
    assert len(uids) >= count
    program = getmail_in(tmp_path)
    for kind, retriever, delete in (("imap", "SimpleIMAPRetriever", "false"), ("pop3", "SimplePOP3Retriever", "true")):
        folder = tmp_path / kind
        for part in ("cur", "new", "tmp"):
            (folder / "Maildir" / part).mkdir(parents=True)
        (folder / "getmailrc").write_text(f"""
[retriever]
type = {retriever}
server = 127.0.0.1
port = {server.ports[kind]}
username = {user}
password = demo

[destination]
type = Maildir
path = {folder}/Maildir/

[options]
read_all = false
delete = {delete}
delivered_to = false
received = false
""")
        # It delivers nothing as root.
        options = {}
        if os.geteuid() == 0:
            open_to_others(tmp_path)
            for path in [folder, *folder.rglob("*")]:
                shutil.chown(path, "nobody")
            options = {"user": "nobody", "group": pwd.getpwnam("nobody").pw_gid, "extra_groups": [], "cwd": folder}
        getmail = ["/usr/bin/python3", program, "--getmaildir", folder, "--rcfile", "getmailrc"]
        run(getmail, **options)
        files = list((folder / "Maildir/new").iterdir())
        assert len(files) == len(uids)
        # getmail adds whence the message came, and ends lines as the disk does and the last line, too.
        taken = {re.sub(rb"(?m)^(Return-Path: <unknown>|X-getmail-retrieved-from-mailbox: .*)\n", b"", path.read_bytes())
                 for path in files}
        assert {with_crlf(one).rstrip() for one in taken} == {with_crlf(one).rstrip() for one in theirs}
        run(getmail, **options)
        assert len(list((folder / "Maildir/new").iterdir())) == len(uids)
    client.noop()
    assert client.select_folder("INBOX")[b"EXISTS"] == 0
    client.logout()
