"""Mail programs people use: mbsync, OfflineIMAP, neomutt, curl."""

import pathlib
import subprocess

from conftest import LmtpClient, need, plain_message, run

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
