"""ringpost and Dovecot as perf/run starts them, each on a data folder and ports of its own."""

import contextlib
import os
import pathlib
import re
import resource
import shutil
import signal
import socket
import sqlite3
import subprocess
import time
import urllib.request

PERF = pathlib.Path(__file__).resolve().parent.parent
ROOT = PERF.parent
RELEASE = ROOT / "target" / "release"
DOMAIN = "example.test"
PASSWORD = "demo"
# Both servers check the same hash of it, one that costs little: what is compared are servers, not hashes.
PASSWORD_HASH = "$5$rounds=1000$perfperfperf$CqJcdk8CtlRng1GF/GsCW6rTkRAeNrhKfg4hYm.nJ04"
START_TIMEOUT_S = 60
# Mailboxes beside the numbered ones, for rows that need one of their own: box0, box1, …
BOXES = 20
# Of the mailboxes that a row fills and then only reads (cold0, pop0, …) there are no more than this.
OTHERS = 1000


class ServerFailed(Exception):
    """A server did not start, or died."""


class Server:
    """A server that runs. `ports` has lmtp, imap, imaps and pop3; `name` is what tables call it."""

    name = ""
    ports: dict

    def processes(self):
        """Ids of all its processes."""
        raise NotImplementedError

    def stop(self):
        """Stops it and waits until it is gone; its data stays."""
        raise NotImplementedError

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def memory(self):
        """Resident memory in bytes: proportional, so that pages that processes share count once."""
        return sum(proportional_memory(process) for process in self.processes())

    def processor_time(self):
        """Seconds of processor time so far of all processes that live."""
        return sum(processor_time(process) for process in self.processes())

    def metrics(self):
        """Names to values, where the server has a page of metrics."""
        return {}


class Ringpost(Server):
    """ringpost with perf/peers/ringpost.cfg: its defaults, with limits raised."""

    name = "ringpost"
    template = "ringpost.cfg"
    # Whether passwords are hashed as Dovecot's are, not as ringpost does by itself.
    cheap_hash = True

    def __init__(self, folder, mailboxes=0, shards=0, port_base=20000, wrapper=()):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.ports = {"lmtp": port_base + 24, "imap": port_base + 143, "imaps": port_base + 993,
                      "pop3": port_base + 110, "admin": port_base + 99}
        self.data = self.folder / "data"
        self.configuration = self.folder / "ringpost.cfg"
        fill_in(self.template, self.configuration, self.ports, FOLDER=self.folder, SHARDS=shards,
                CERTIFICATE=certificate(self.folder))
        self.create_mailboxes(mailboxes)
        raise_descriptor_limit()
        with open(self.folder / "log", "a") as log:
            self.process = subprocess.Popen([*wrapper, RELEASE / "ringpost", "serve", "-c", self.configuration],
                                            stdout=log, stderr=log)
        wait_until(lambda: answers_to(self.ports["imap"], f"load0@{DOMAIN}"), self.name, self.folder / "log",
                   self.process)
        self.pid = descendants(self.process.pid)[-1] if wrapper else self.process.pid

    def create_mailboxes(self, mailboxes):
        """Adds what is missing of `mailboxes` numbered accounts and of the boxes."""
        count = self.folder / "mailboxes"
        have = int(count.read_text()) if count.exists() else 0
        if mailboxes <= have:
            return
        admin = [RELEASE / "ringpost", "admin", "-c", self.configuration]
        names = [f"load{n}" for n in range(have, mailboxes)]
        if not have:
            subprocess.run([*admin, "domain", "add", DOMAIN], check=True, stdout=subprocess.DEVNULL)
            names += [f"box{n}" for n in range(BOXES)]
        names += [f"{kind}{n}" for kind in ("cold", "pop") for n in range(min(have, OTHERS), min(mailboxes, OTHERS))]
        subprocess.run([*admin, "user", "import", "--password", PASSWORD, "-"], text=True, check=True,
                       input="".join(f"{name}@{DOMAIN}\n" for name in names), stdout=subprocess.DEVNULL)
        if self.cheap_hash:
            with contextlib.closing(sqlite3.connect(self.data / "directory.sqlite3")) as directory, directory:
                directory.execute("UPDATE users SET password = ?", (PASSWORD_HASH,))
        count.write_text(str(mailboxes))

    def processes(self):
        return [self.pid]

    def stop(self):
        os.kill(self.pid, signal.SIGTERM)
        self.process.wait(timeout=60)

    def metrics(self):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.ports['admin']}/metrics", timeout=20) as page:
            text = page.read().decode()
        return {key: float(value) for key, value in
                (line.rsplit(" ", 1) for line in text.splitlines() if line and not line.startswith("#"))}


class Dovecot(Server):
    """Dovecot 2.3 of Debian with perf/peers/dovecot.conf; `layout` is sdbox or maildir."""

    def __init__(self, folder, layout, port_base=21000, fsync="optimized", tls=False, wrapper=()):
        self.layout = layout
        self.name = f"dovecot {layout}"
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        open_to_dovecot(self.folder)
        for part in ("run", "mail"):
            (self.folder / part).mkdir(exist_ok=True)
            shutil.chown(self.folder / part, "dovecot" if part == "mail" else "root")
        self.ports = {"lmtp": port_base + 24, "imap": port_base + 143, "imaps": port_base + 993,
                      "pop3": port_base + 110}
        location = {"sdbox": "sdbox:{}/mail/%n", "maildir": "maildir:{}/mail/%n/Maildir"}[layout]
        self.configuration = self.folder / "dovecot.conf"
        fill_in("dovecot.conf", self.configuration, self.ports, FOLDER=self.folder, USER="dovecot", FSYNC=fsync, HASH=PASSWORD_HASH,
                LOCATION=location.format(self.folder), CORES=os.cpu_count(), SSL="yes" if tls else "no",
                CERTIFICATE=certificate(self.folder))
        raise_descriptor_limit()
        subprocess.run([*wrapper, "dovecot", "-c", self.configuration], check=True)
        wait_until(lambda: answers_to(self.ports["imap"], f"load0@{DOMAIN}"), self.name, self.folder / "log")
        self.master = int((self.folder / "run" / "master.pid").read_text())

    def processes(self):
        return descendants(self.master)

    def stop(self):
        subprocess.run(["doveadm", "-c", self.configuration, "stop"], check=True, stderr=subprocess.DEVNULL)
        wait_until(lambda: not pathlib.Path(f"/proc/{self.master}").exists(), self.name, self.folder / "log")


def fill_in(name, path, ports, **values):
    """Writes a configuration of perf/peers with the words between @ replaced."""
    text = (PERF / "peers" / name).read_text()
    for key, value in {**{name.upper(): port for name, port in ports.items()}, **values}.items():
        text = text.replace(f"@{key}@", str(value))
    path.write_text(text)


def raise_descriptor_limit():
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = max(hard, int(pathlib.Path("/proc/sys/fs/nr_open").read_text()))
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, wanted))
    except (ValueError, PermissionError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def open_to_dovecot(folder):
    """Dovecot's user must be able to walk to its folder, wherever the clone is."""
    for part in [folder, *folder.parents]:
        if part.stat().st_uid in (0, os.getuid()) and str(part) != "/" and not part.stat().st_mode & 0o1:
            subprocess.run(["chmod", "o+x", part], check=True)


def certificate(folder):
    """A self-signed certificate for TLS rows; the key lies beside it."""
    path = folder / "certificate.pem"
    if not path.exists():
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                        "-days", "30", "-subj", "/CN=localhost", "-keyout", folder / "key.pem", "-out", path],
                       check=True, stderr=subprocess.DEVNULL)
    return path


def answers_to(port, user):
    """Whether an IMAP login works."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
            file = connection.makefile("rwb")
            file.readline()
            file.write(f'a LOGIN "{user}" "{PASSWORD}"\r\nb LOGOUT\r\n'.encode())
            file.flush()
            return any(line.startswith(b"a OK") for line in file)
    except OSError:
        return False


def wait_until(condition, name, log, process=None):
    deadline = time.monotonic() + START_TIMEOUT_S
    while not condition():
        if (process and process.poll() is not None) or time.monotonic() > deadline:
            lines = log.read_text(errors="replace").splitlines()[-20:] if log.exists() else []
            raise ServerFailed("\n".join([f"{name} does not do what was asked; its log ends:", *lines]))
        time.sleep(0.05)


def descendants(process):
    """A process and all below it."""
    found = [process]
    for parent in found:
        for task in pathlib.Path(f"/proc/{parent}/task").glob("*/children"):
            try:
                found += [int(child) for child in task.read_text().split()]
            except OSError:
                pass
    return found


def proportional_memory(process):
    try:
        text = pathlib.Path(f"/proc/{process}/smaps_rollup").read_text()
    except OSError:
        return 0
    return int(re.search(r"^Pss:\s+(\d+) kB", text, re.MULTILINE)[1]) * 1024


def processor_time(process):
    total = 0
    for task in pathlib.Path(f"/proc/{process}/task").glob("*/schedstat"):
        try:
            total += int(task.read_text().split()[0])
        except OSError:
            pass
    return total / 1e9
