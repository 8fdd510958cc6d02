"""A whole account moves from Dovecot to ringpost and back, and nothing is different: messages, flags, dates, folders."""

import shutil

import pytest

from accounts import FOLDERS, connected, contents, differences, fill
from conftest import need, plain_message, run
from dovecot import PASSWORD, Dovecot

USER = "moving@example.test"


@pytest.fixture
def dovecot(tmp_path):
    with Dovecot(tmp_path / "dovecot") as dovecot:
        yield dovecot


def folders(client):
    """The names of all folders; roles and what only one of the servers makes are another matter."""
    return {name for flags, _, name in client.list_folders() if b"\\NoSelect" not in flags}


def there_and_back(server, dovecot, to_ringpost, to_dovecot, keywords=True):
    """Fills an account at Dovecot, has it copied, has the copy copied to another account there."""
    server.add_user(USER)
    first = connected(dovecot.port, "first@example.test", PASSWORD)
    count = fill(first, keywords)
    before = contents(first)
    assert sum(map(len, before.values())) == count
    to_ringpost("first@example.test", USER)
    ours = connected(server.ports["imap"], USER)
    assert set(FOLDERS) <= folders(ours)
    assert not differences(before, contents(ours))
    to_dovecot(USER, "second@example.test")
    second = connected(dovecot.port, "second@example.test", PASSWORD)
    assert set(FOLDERS) <= folders(second)
    assert not differences(before, contents(second))
    assert not differences(before, contents(first)), "the first one was not to be touched"
    # Nothing is left to do, either.
    to_dovecot(USER, "second@example.test")
    assert not differences(before, contents(second))
    for client in (first, ours, second):
        client.logout()
    print(f"{count} messages in {len(FOLDERS)} folders, there and back")


def test_mbsync_between_the_servers(server, dovecot, tmp_path):
    """mbsync with IMAP on both sides. Its protocol with itself knows no keywords."""
    def sync(far, far_user, near, near_user):
        folder = tmp_path / f"{far_user}-{near_user}"
        folder.mkdir(exist_ok=True)
        accounts = "".join(f"""
IMAPAccount {name}
Host 127.0.0.1
Port {port}
User {user}
Pass demo
SSLType None
AuthMechs LOGIN

IMAPStore {name}
Account {name}
""" for name, port, user in (("far", far, far_user), ("near", near, near_user)))
        configuration = folder / "mbsyncrc"
        configuration.write_text(f"""FSync no
{accounts}
Channel all
Far :far:
Near :near:
Patterns *
Create Both
Expunge Near
Sync Pull
CopyArrivalDate yes
SyncState {folder}/
""")
        run([need("mbsync"), "-c", configuration, "-a"], timeout=300)

    imap = server.ports["imap"]
    there_and_back(server, dovecot, lambda theirs, ours: sync(dovecot.port, theirs, imap, ours),
                   lambda ours, theirs: sync(imap, ours, dovecot.port, theirs), keywords=False)


def test_dsync_takes_an_account(server, dovecot):
    """Dovecot's own way to take over an account from IMAP, UIDs included, and again after changes. The other way it
    doesn't have: its IMAP storage takes no identifiers."""
    def backup():
        run([*dovecot.doveadm, "-o", "imapc_host=127.0.0.1", "-o", f"imapc_port={server.ports['imap']}",
             "-o", f"imapc_user={USER}", "-o", "imapc_password=demo", "-o", "mail_prefetch_count=20",
             "-o", "imapc_features=rfc822.size fetch-headers", "backup", "-R", "-u", "theirs", "imapc:"], timeout=300)

    server.add_user(USER)
    ours = connected(server.ports["imap"], USER)
    count = fill(ours)
    backup()
    theirs = connected(dovecot.port, "theirs", PASSWORD)
    assert folders(ours) == folders(theirs)
    before = contents(ours, uids=True)
    assert sum(map(len, before.values())) == count and not differences(before, contents(theirs, uids=True))
    ours.select_folder("INBOX")
    uids = ours.search()
    ours.add_flags(uids[3:9], [b"\\Flagged", b"later"])
    ours.remove_flags(uids[5:20], [b"\\Seen"])
    ours.move(uids[20:23], "Empty")
    ours.delete_messages(uids[30:33])
    ours.expunge()
    ours.append("INBOX", plain_message("new"))
    ours.rename_folder("Archive/2024", "Archive/2025")
    backup()
    names = ["Archive/2025" if name == "Archive/2024" else name for name in FOLDERS]
    assert folders(ours) == folders(theirs)
    after = contents(ours, names, uids=True)
    assert after != before and not differences(after, contents(theirs, names, uids=True))


@pytest.mark.full
def test_imapsync(server, dovecot):
    """Where there is one: Debian has no package of it, and `.ci/test` fetches it."""
    imapsync = shutil.which("imapsync")
    if not imapsync:
        pytest.skip("no imapsync on the path, and .ci/test could not fetch it")

    def sync(source, source_user, target, target_user):
        run([imapsync, "--host1", "127.0.0.1", "--port1", source, "--user1", source_user, "--password1", "demo",
             "--host2", "127.0.0.1", "--port2", target, "--user2", target_user, "--password2", "demo", "--nossl1", "--notls1",
             "--nossl2", "--notls2", "--nolog", "--noreleasecheck", "--syncinternaldates", "--nofoldersizes"], timeout=500)

    imap = server.ports["imap"]
    there_and_back(server, dovecot, lambda theirs, ours: sync(dovecot.port, theirs, imap, ours),
                   lambda ours, theirs: sync(imap, ours, dovecot.port, theirs))
