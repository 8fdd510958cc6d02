"""`ringpost serve -c FILE` for tests: a configuration that the test writes, and the certificates for it."""

import os
import signal
import subprocess
import time

from conftest import BINARY, START_TIMEOUT_S, need, run

CREATED_NOTHING = {"pop3_listen": "", "pop3_listen_tls": "", "imap_listen": "", "imap_listen_tls": "",
                   "lda_listen": "", "lda_listen_tls": "", "admin_listen": ""}


class Serve:
    """A running `ringpost serve`. Directives that are not given have their defaults, listeners that are not
    given don't exist."""

    def __init__(self, folder, directives, wrapper=()):
        self.wrapper = list(wrapper)
        self.configuration = folder / "ringpost.cfg"
        self.log = folder / "serve.log"
        self.directives = {**CREATED_NOTHING, "log_level": "5", **directives}
        self.process = None

    def __enter__(self):
        self.write()
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen([*self.wrapper, BINARY, "serve", "-c", self.configuration], stdout=log, stderr=log,
                                            env={**os.environ, "NOTIFY_SOCKET": ""})
        for key, value in self.directives.items():
            if key.endswith(("_listen", "_listen_tls")) and value:
                self.wait_for_listener(int(value.rpartition(":")[2]))
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.terminate()
        try:
            code = self.process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        assert code == 0, self.log.read_text()[-4000:]

    def write(self, **directives):
        self.directives.update(directives)
        self.configuration.write_text("".join(f"{key}={value}\n" for key, value in self.directives.items()))

    def wait_for_listener(self, port):
        """Without connecting: a listener that expects a PROXY header logs one that has none."""
        wanted = f":{port:04X}"
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            sockets = [line.split() for name in ("tcp", "tcp6")
                       for line in open(f"/proc/net/{name}").read().splitlines()[1:]]
            if any(fields[1].endswith(wanted) and fields[3] == "0A" for fields in sockets):
                return
            assert self.process.poll() is None and time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.01)

    def as_demo(self, base):
        """With the ports of what `make_data` found, for clients that are told a demo."""
        self.ports = {name: base + port for name, port in
                      (("lmtp", 24), ("admin", 99), ("pop3", 110), ("imap", 143), ("imaps", 993), ("pop3s", 995))}
        return self

    def reload(self, **directives):
        """Changes directives, sends SIGHUP and waits until it is done; what was logged."""
        self.write(**directives)
        before = self.log.stat().st_size
        self.process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            logged = self.log.read_bytes()[before:].decode()
            if "configuration reloaded" in logged or "not reloaded" in logged:
                return logged
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.01)


def make_data(folder):
    """A data folder with a few accounts: what `ringpost demo` makes at its first start."""
    from conftest import Server
    server = Server(folder / "data")
    server.stop()
    return server.data, server.base


def make_certificate(folder, name, password=None, cipher="aes-256-cbc"):
    """A self-signed certificate for a host name, and its key, encrypted where there is a password; the paths of
    both."""
    chain, key = folder / f"{name}.pem", folder / f"{name}.key"
    run([need("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-days", "2",
         "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}", "-keyout", key, "-out", chain, "-nodes"])
    if password:
        plain = key.read_text()
        run([need("openssl"), "pkcs8", "-topk8", "-v2", cipher, "-passout", f"pass:{password}", "-out", key],
            input=plain)
        assert "ENCRYPTED" in key.read_text()
    return chain, key


def fingerprint(chain):
    return run([need("openssl"), "x509", "-in", chain, "-noout", "-fingerprint", "-sha256"]).strip()


def presented(port, name=None, *options, starttls=None):
    """The fingerprint of the certificate that a server presents to `openssl s_client`, and what it printed;
    `None` where there is no handshake."""
    command = [need("openssl"), "s_client", "-connect", f"127.0.0.1:{port}", *options]
    command += ["-servername", name] if name else ["-noservername"]
    command += ["-starttls", starttls] if starttls else []
    done = subprocess.run([str(c) for c in command], input="", capture_output=True, text=True, timeout=30)
    shown = done.stdout + done.stderr
    if "-----BEGIN CERTIFICATE-----" not in shown:
        return None, shown
    printed = subprocess.run([need("openssl"), "x509", "-noout", "-fingerprint", "-sha256"], input=done.stdout,
                             capture_output=True, text=True, check=True)
    return printed.stdout.strip(), shown
