"""A Postfix of the test's own, as root, from a configuration in the temporary folder."""

import contextlib
import os
import pathlib
import pwd
import types

from conftest import need, run


@contextlib.contextmanager
def running_postfix(folder, port, transport, settings=""):
    """Takes mail for example.test on `port` and hands it to `transport`, such as `lmtp:inet:127.0.0.1:24`."""
    postfix, postdrop = need("postfix"), pwd.getpwnam("postfix")
    folder.chmod(0o755)
    for parent in folder.parents:
        if str(parent).startswith("/tmp/"):
            parent.chmod(0o755)
    configuration, queue, data = folder / "etc", folder / "queue", folder / "pfdata"
    for made in (configuration, queue, data):
        made.mkdir()
    os.chown(data, postdrop.pw_uid, postdrop.pw_gid)
    log = folder / "postfix.log"
    (configuration / "main.cf").write_text(
        f"compatibility_level = 3.6\nqueue_directory = {queue}\ndata_directory = {data}\n"
        f"mydestination =\nmynetworks = 127.0.0.0/8\ninet_interfaces = 127.0.0.1\nmyhostname = mx.example.test\n"
        f"virtual_mailbox_domains = example.test\nvirtual_transport = {transport}\n"
        f"smtpd_recipient_restrictions = permit_mynetworks,reject\nmaillog_file = {log}\n"
        f"maillog_file_prefixes = {folder}\nalias_maps =\nalias_database =\n{settings}")
    master = pathlib.Path("/usr/share/postfix/master.cf.dist").read_text()
    lines = [f"127.0.0.1:{port} inet n - n - - smtpd" if line.startswith("smtp      inet") else line
             for line in master.splitlines()]
    lines = [" ".join([*line.split()[:4], "n", *line.split()[5:]]) if line[:1].isalpha() else line for line in lines]
    (configuration / "master.cf").write_text("\n".join(lines) + "\npostlog unix-dgram n - n - 1 postlogd\n")
    run([postfix, "-c", configuration, "start"])
    try:
        yield types.SimpleNamespace(port=port, log=log)
    finally:
        run([postfix, "-c", configuration, "stop"])
