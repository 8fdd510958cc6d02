"""A Postfix of a test's own: configuration, queue and log in one folder, everything unprivileged but its master."""

import contextlib
import os
import pathlib
import pwd
import re

from conftest import need, run


class Postfix:
    """A running Postfix that listens on a port of loopback. What is not among the settings is as small as it can
    be: it takes mail from loopback and knows no domain."""

    def __init__(self, folder, port, **settings):
        self.folder, self.port = folder, port
        self.configuration, self.log = folder / "etc", folder / "postfix.log"
        self.program = need("postfix")
        folder.mkdir()
        open_to_others(folder)
        user = pwd.getpwnam("postfix")
        for part in ("etc", "queue", "data", "mail"):
            (folder / part).mkdir()
        for part in ("data", "mail"):
            os.chown(folder / part, user.pw_uid, user.pw_gid)
        settings = {
            "compatibility_level": "3.6", "queue_directory": folder / "queue", "data_directory": folder / "data",
            "mydestination": "", "mynetworks": "127.0.0.0/8", "inet_interfaces": "127.0.0.1",
            "inet_protocols": "ipv4", "myhostname": "mx.example.test", "smtpd_recipient_restrictions": "permit_mynetworks,reject",
            "maillog_file": self.log, "maillog_file_prefixes": folder, "alias_maps": "", "alias_database": "",
            "smtp_dns_support_level": "disabled", "default_database_type": "texthash",
            # Mail that it keeps itself.
            "virtual_mailbox_base": folder / "mail", "virtual_uid_maps": f"static:{user.pw_uid}",
            "virtual_gid_maps": f"static:{user.pw_gid}", **settings}
        (self.configuration / "main.cf").write_text("".join(f"{key} = {value}\n" for key, value in settings.items()))
        self.services()

    def services(self, without=()):
        """Writes what the master runs from its next start on: all of Debian's services but these."""
        lines = pathlib.Path("/usr/share/postfix/master.cf.dist").read_text().splitlines()
        lines = [f"127.0.0.1:{self.port} inet n - n - - smtpd" if line.startswith("smtp      inet") else line for line in lines]
        lines = [line for line in lines if line.split(" ")[0] not in without]
        # No chroot: the folders are the test's.
        lines = [" ".join([*line.split()[:4], "n", *line.split()[5:]]) if line[:1].isalpha() else line for line in lines]
        (self.configuration / "master.cf").write_text("\n".join(lines) + "\npostlog unix-dgram n - n - 1 postlogd\n")

    def table(self, name, entries):
        """Writes a lookup table; what a setting calls it."""
        path = self.configuration / name
        path.write_text("".join(f"{key} {value}\n" for key, value in entries.items()))
        return f"texthash:{path}"

    def __enter__(self):
        run([self.program, "-c", self.configuration, "start"])
        return self

    def __exit__(self, *_):
        run([self.program, "-c", self.configuration, "stop"])

    def flush(self):
        """Tries what waits in its queue now."""
        run([self.program, "-c", self.configuration, "flush"])

    def logged(self, pattern):
        with contextlib.suppress(FileNotFoundError):
            return re.search(pattern, self.log.read_text())

    def kept(self, mailbox):
        """The messages in one of its own Maildirs, whose name ends in a slash in the table of mailboxes."""
        return [path.read_bytes() for path in sorted((self.folder / "mail" / mailbox / "new").glob("*"))]


def open_to_others(folder):
    """Servers that give up root must be able to walk to their folder, wherever the tests' folder is."""
    for part in [folder, *folder.parents]:
        if str(part) != "/" and part.stat().st_uid in (0, os.getuid()) and not part.stat().st_mode & 0o1:
            part.chmod(part.stat().st_mode | 0o11)
