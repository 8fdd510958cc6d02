"""A Dovecot of a test's own, with Maildirs and one password for everybody: what an account is moved from and to."""

import os
import pwd
import socket
import subprocess

from conftest import free_port, need, wait_until
from postfix import open_to_others

PASSWORD = "demo"


class Dovecot:
    """A running Dovecot with an IMAP listener on loopback; any user name has an account."""

    def __init__(self, folder):
        self.folder = folder
        self.port = free_port()
        self.configuration = folder / "dovecot.conf"
        self.program = need("dovecot")
        self.doveadm = [need("doveadm"), "-c", self.configuration]
        folder.mkdir()
        open_to_others(folder)
        user = pwd.getpwnam("dovecot")
        for part in ("run", "mail"):
            (folder / part).mkdir()
        os.chown(folder / "mail", user.pw_uid, user.pw_gid)
        self.configuration.write_text(f"""
base_dir = {folder}/run
state_dir = {folder}/run
log_path = {folder}/dovecot.log
protocols = imap
listen = 127.0.0.1
ssl = no
disable_plaintext_auth = no
mail_location = maildir:~/Maildir
mail_uid = {user.pw_uid}
mail_gid = {user.pw_gid}
first_valid_uid = 1
passdb {{
  driver = static
  args = password={PASSWORD}
}}
userdb {{
  driver = static
  args = uid={user.pw_uid} gid={user.pw_gid} home={folder}/mail/%n allow_all_users=yes
}}
namespace inbox {{
  inbox = yes
  separator = /
}}
service imap-login {{
  inet_listener imap {{
    port = {self.port}
  }}
  inet_listener imaps {{
    port = 0
  }}
}}
""")

    def __enter__(self):
        with open(self.folder / "start.log", "wb") as log:
            self.process = subprocess.Popen([self.program, "-F", "-c", self.configuration], stdout=log, stderr=log)
        wait_until(self.answers, 30)
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(timeout=30)

    def answers(self):
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=10) as connection:
                return connection.recv(100).startswith(b"* OK")
        except ConnectionError:
            return False
