"""An rspamd of a test's own: Debian's configuration, its milter on a port of loopback, nothing asked of the network."""

import shutil
import socket
import subprocess

from conftest import free_port, need, wait_until
from postfix import open_to_others

# What asks name servers or others for their opinion, or keeps something in a Redis.
ABROAD = ["arc", "asn", "bayes_expiry", "dcc", "dkim", "dkim_signing", "dmarc", "fuzzy_check", "greylist", "history_redis", "mx_check",
          "neural", "once_received", "p0f", "phishing", "ratelimit", "rbl", "replies", "reputation", "rspamd_update", "spf", "surbl",
          "url_redirector", "whitelist"]
# Bodies that every filter of this kind takes for what they say they are (spamassassin's GTUBE and rspamd's own).
REJECTED = "XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"
MARKED = "YJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"


class Rspamd:
    """A running rspamd; `port` is where its milter listens."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir()
        open_to_others(folder)
        self.port = free_port()
        self.log = folder / "rspamd.log"
        local = folder / "local.d"
        local.mkdir()
        files = {
            "options.inc": 'enable_test_patterns = true;\ngtube_patterns = "all";\nfilters = "chartable,regexp";\n'
                           f'dns {{ nameserver = ["127.0.0.1:{free_port()}"]; timeout = 0.1s; retransmits = 1; }}\n'
                           'cache_file = "$DBDIR/symbols.cache";\n',
            "logging.inc": f'type = "file";\nfilename = "{self.log}";\nlevel = "notice";\n',
            "worker-normal.inc": "enabled = false;\n",
            "worker-controller.inc": "enabled = false;\n",
            "worker-fuzzy.inc": "enabled = false;\n",
            "worker-proxy.inc": f'bind_socket = "127.0.0.1:{self.port}";\nupstream "local" {{ default = yes; self_scan = yes; }}\n',
            "milter_headers.conf": 'use = ["x-spamd-result", "x-spam-status", "authentication-results"];\n'
                                   'skip_local = false;\nskip_authenticated = false;\n',
            "classifier-bayes.conf": "enabled = false;\n",
            **{f"{module}.conf": "enabled = false;\n" for module in ABROAD},
        }
        for name, content in files.items():
            (local / name).write_text(content)
        for path in [folder, *folder.rglob("*")]:
            shutil.chown(path, "_rspamd")

    def __enter__(self):
        command = [need("rspamd"), "--no-fork", "--user", "_rspamd", "--group", "_rspamd", "--config", "/etc/rspamd/rspamd.conf"]
        command += [f"--var={name}={self.folder}" for name in ("LOCAL_CONFDIR", "DBDIR", "RUNDIR", "LOGDIR")]
        with open(self.folder / "start.log", "wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        wait_until(self.listens, 60)
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(timeout=60)

    def listens(self):
        assert self.process.poll() is None, (self.folder / "start.log").read_text() + self.logged()
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def logged(self):
        return self.log.read_text() if self.log.exists() else ""
