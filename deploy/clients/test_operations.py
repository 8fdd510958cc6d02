"""Running the server: metrics as Prometheus' own parser reads them, signals, systemd's protocol and units, logs, and a
start that can't succeed."""

import ctypes
import imaplib
import os
import pathlib
import poplib
import re
import signal
import socket
import ssl
import struct
import subprocess
import time
import urllib.request

import pytest
from prometheus_client.parser import text_string_to_metric_families

from conftest import BINARY, ROOT, LmtpClient, need, plain_message, run
from serving import Serve, fingerprint, make_certificate, make_data, presented


@pytest.fixture
def data(tmp_path):
    """A data folder, and a base of free ports."""
    return make_data(tmp_path)


def wait_until(condition, timeout_s=20):
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def get(server, path):
    with urllib.request.urlopen(f"http://127.0.0.1:{server.ports['admin']}{path}", timeout=20) as answer:
        return answer.status, answer.headers["Content-Type"], answer.read().decode()


def families(server):
    return {family.name: family for family in text_string_to_metric_families(get(server, "/metrics")[2])}


def total(family, **labels):
    """The sum over shards of a counter or gauge."""
    wanted = [sample for sample in family.samples
              if not sample.name.endswith(("_bucket", "_sum", "_count"))
              and all(sample.labels.get(key) == value for key, value in labels.items())]
    assert wanted, (family, labels)
    return sum(sample.value for sample in wanted)


def test_metrics(server):
    before = families(server)
    client = LmtpClient(server)
    for number in range(5):
        replies = client.deliver(["alice@example.test", "bob@example.test"], plain_message(number))
        assert len(replies) == 2 and all(reply.startswith("250 2.1.5 ") for reply in replies), replies
    client.close()
    imap = imaplib.IMAP4("127.0.0.1", server.ports["imap"])
    imap.login("alice@example.test", "demo")
    imap.select("INBOX")
    imap.noop()
    # An IDLE of any length is no command that was slow.
    imap.send(b"i IDLE\r\n")
    assert imap.readline().startswith(b"+")
    time.sleep(1.2)
    imap.send(b"DONE\r\n")
    while not imap.readline().startswith(b"i OK"):
        pass
    after = families(server)
    imap.logout()

    def grown(name, **labels):
        return total(after[name], **labels) - total(before[name], **labels)

    # Per shard and protocol.
    shards = {sample.labels["shard"] for sample in after["ringpost_syncs"].samples}
    assert len(shards) == len(os.sched_getaffinity(0)), shards
    assert grown("ringpost_connections", protocol="lmtp") == 1
    assert grown("ringpost_sessions", protocol="imap") == 1
    assert total(after["ringpost_service_open_connections"], protocol="imap") == 1
    # Forwarded, local and handed over.
    assert grown("ringpost_local_calls") + grown("ringpost_forwarded_calls") >= 10
    assert grown("ringpost_handed_over") + grown("ringpost_stayed") == 1
    # Syncs are shared, and there is at least one for what was acknowledged.
    assert grown("ringpost_durable_commits") >= 10 and grown("ringpost_syncs") >= 1
    for name in ("router_queued", "router_longest_queue", "helper_jobs", "mailbox_jobs_waiting", "open_mailboxes",
                 "open_connections", "subscriptions", "longest_stall_seconds", "pooled_stacks"):
        assert after[f"ringpost_{name}"].type == "gauge", name
    assert total(after["ringpost_open_mailboxes"]) >= 2
    # Latencies: buckets grow up to the count, and time is in seconds.
    for name in ("poll_seconds", "sync_seconds", "operation_seconds", "command_seconds"):
        family = after[f"ringpost_{name}"]
        assert family.type == "histogram" and family.documentation
        series = {}
        for sample in family.samples:
            key = tuple(sorted((k, v) for k, v in sample.labels.items() if k != "le"))
            series.setdefault(key, {"bucket": []})
            kind = sample.name.rpartition("_")[2]
            if kind == "bucket":
                series[key]["bucket"].append((float(sample.labels["le"]), sample.value))
            else:
                series[key][kind] = sample.value
        for key, one in series.items():
            limits, counts = zip(*one["bucket"])
            assert list(limits) == sorted(limits) and limits[-1] == float("inf"), key
            assert list(counts) == sorted(counts) and counts[-1] == one["count"], key
        if name == "command_seconds":
            commands = sum(one["count"] for key, one in series.items() if ("protocol", "imap") in key)
            assert commands == 4, "CAPABILITY, LOGIN, SELECT and NOOP; IDLE is not counted"
    for family in after.values():
        assert family.documentation and family.name.startswith("ringpost_"), family.name


def test_health(server):
    assert get(server, "/healthz") == (200, "text/plain", "ok\n")
    assert get(server, "/readyz") == (200, "text/plain", "ready\n")
    with pytest.raises(urllib.error.HTTPError):
        get(server, "/else")


def test_state_is_dumped_on_sigusr1(data, tmp_path):
    folder, base = data
    with Serve(tmp_path, {"data_path": folder, "lda_listen": f"127.0.0.1:{base + 24}", "shards": "2"}) as serve:
        serve.process.send_signal(signal.SIGUSR1)
        wait_until(lambda: len(re.findall(r"state of shard [01]:.* open_mailboxes=\d.* lmtp: open=\d",
                                          serve.log.read_text())) == 2)


def test_a_stop_waits_for_nobody_for_long(data, tmp_path):
    """One client idles, one never reads what it asked for, one is in the middle of a message: all are told or cut, and
    what was acknowledged is there."""
    folder, base = data
    directives = {"data_path": folder, "imap_listen": f"127.0.0.1:{base + 143}", "shutdown_time": "2s",
                  "lda_listen": f"127.0.0.1:{base + 24}"}
    with Serve(tmp_path, directives) as serve:
        idle = imaplib.IMAP4("127.0.0.1", base + 143)
        idle.login("alice@example.test", "demo")
        idle.select("INBOX")
        idle.send(b"i IDLE\r\n")
        assert idle.readline().startswith(b"+")

        deaf = socket.socket()
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.connect(("127.0.0.1", base + 143))
        deaf.sendall(b"a LOGIN alice@example.test demo\r\nb SELECT INBOX\r\n")
        deaf.sendall(b"".join(b"c%d FETCH 1:* BODY.PEEK[]\r\n" % number for number in range(200)))

        sending = socket.create_connection(("127.0.0.1", base + 24))
        sending.sendall(b"LHLO x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<alice@example.test>\r\nDATA\r\nSubject: half\r\n")

        class Ports:
            ports = {"lmtp": base + 24}
        lmtp = LmtpClient(Ports)
        [reply] = lmtp.deliver(["alice@example.test"], plain_message("acknowledged"))
        assert reply.startswith("250 2.1.5 "), reply
        time.sleep(0.5)
        started = time.monotonic()
        serve.process.terminate()
        while not (line := idle.readline()).startswith(b"* BYE"):
            assert line
        assert b"421" in sending.makefile("rb").read()
        assert serve.process.wait(timeout=20) == 0
        assert time.monotonic() - started < 8
    with Serve(tmp_path, directives):
        again = imaplib.IMAP4("127.0.0.1", base + 143)
        again.login("alice@example.test", "demo")
        again.select("INBOX")
        assert again.search(None, "SUBJECT", '"message acknowledged"')[1][0]
        assert not again.search(None, "SUBJECT", '"half"')[1][0]
        again.logout()


def test_systemd_is_told(data, tmp_path):
    folder, base = data
    manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    manager.bind(str(tmp_path / "notify"))
    manager.settimeout(20)
    configuration = tmp_path / "one.cfg"
    configuration.write_text(f"data_path={folder}\nadmin_listen=127.0.0.1:{base + 99}\nimap_listen=\n"
                             "imap_listen_tls=\npop3_listen=\npop3_listen_tls=\nlda_listen=\nlda_listen_tls=\n")
    process = subprocess.Popen([BINARY, "serve", "-c", configuration], stderr=subprocess.PIPE,
                               env={**os.environ, "NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "400000"})

    def told(wanted):
        """Messages up to the wanted one."""
        messages = []
        while True:
            messages.append(manager.recv(4096).decode())
            if messages[-1].startswith(wanted):
                return messages
    try:
        assert told("READY=1") and process.poll() is None
        started = time.monotonic()
        for _ in range(5):
            assert told("WATCHDOG=1") == ["WATCHDOG=1"]
        assert 0.5 < time.monotonic() - started < 2.0, "twice an interval"
        process.send_signal(signal.SIGHUP)
        told("RELOADING=1")
        assert "reloaded" in told("READY=1")[-1]
        # While the process hangs the manager hears nothing.
        process.send_signal(signal.SIGSTOP)
        time.sleep(1)
        manager.settimeout(0.5)
        with pytest.raises(TimeoutError):
            while True:
                manager.recv(4096)
        process.send_signal(signal.SIGCONT)
        manager.settimeout(20)
        told("WATCHDOG=1")
        process.terminate()
        told("STOPPING=1")
        assert process.wait(timeout=20) == 0
    finally:
        process.kill()


def test_units(tmp_path):
    """systemd-analyze finds nothing wrong with the unit, and it is well confined."""
    analyze = need("systemd-analyze")
    unit = tmp_path / "ringpost.service"
    source = (ROOT / "deploy/systemd/ringpost.service").read_text()
    unit.write_text(source.replace("/usr/bin/ringpost", str(pathlib.Path(BINARY).resolve())))
    done = subprocess.run([analyze, "verify", "--man=no", unit], capture_output=True, text=True)
    # It also looks for the account, which the sysusers file makes when installed.
    complaints = [line for line in (done.stdout + done.stderr).splitlines() if "ringpost.service" in line]
    assert not complaints, complaints
    shown = subprocess.run([analyze, "security", "--offline=true", "--no-pager", unit], capture_output=True, text=True)
    exposure = re.search(r"Overall exposure level for ringpost.service: ([\d.]+)", shown.stdout)
    assert exposure and float(exposure[1]) < 2.0, shown.stdout[-2000:] + shown.stderr
    stop = int(re.search(r"TimeoutStopSec=(\d+)s", source)[1])
    assert stop > 20 + 60, "shutdown_time, and the closing of all mailboxes"


def test_what_only_a_restart_applies_is_told(data, tmp_path):
    folder, base = data
    directives = {"data_path": folder, "lda_listen": f"127.0.0.1:{base + 24}"}
    with Serve(tmp_path, directives) as serve:
        logged = serve.reload(mail_max_length="1M", table_size="77", stall_warning="40ms")
        assert "changed: ringpost.cfg:stall_warning, smtp.cfg:mail_max_length" in logged, logged
        wait_until(lambda: "only a restart applies it: exmdb_provider.cfg:table_size" in serve.log.read_text())
        # What was told once is not told again.
        before = len(serve.log.read_text())
        serve.reload()
        time.sleep(0.2)
        assert "only a restart applies it" not in serve.log.read_text()[before:]


def test_the_log_moves_by_sighup(data, tmp_path):
    folder, base = data
    first, second = tmp_path / "first.log", tmp_path / "second.log"
    directives = {"data_path": folder, "lda_listen": f"127.0.0.1:{base + 24}", "log_file": str(first)}
    with Serve(tmp_path, directives) as serve:
        wait_until(first.exists)
        serve.write(log_file=str(second))
        serve.process.send_signal(signal.SIGHUP)
        wait_until(lambda: second.exists() and "configuration reloaded" in second.read_text())
        size = first.stat().st_size
        # logrotate moves a file away; SIGHUP makes a new one.
        second.rename(tmp_path / "rotated.log")
        serve.process.send_signal(signal.SIGHUP)
        wait_until(lambda: second.exists() and "configuration reloaded" in second.read_text())
        assert first.stat().st_size == size


def test_the_log_goes_to_syslog(data, tmp_path):
    """In a mount namespace of its own, whose /dev/log is ours."""
    folder, base = data
    logger = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    logger.bind(str(tmp_path / "log"))
    logger.settimeout(20)
    configuration = tmp_path / "one.cfg"
    configuration.write_text(f"data_path={folder}\nlog_file=syslog\nadmin_listen=127.0.0.1:{base + 99}\nimap_listen=\n"
                             "imap_listen_tls=\npop3_listen=\npop3_listen_tls=\nlda_listen=\nlda_listen_tls=\n"
                             "no_such_directive=1\n")
    script = (f"mount -t tmpfs none {tmp_path}/dev && mount --rbind /dev {tmp_path}/dev && mount -t tmpfs none /dev && "
              f"for n in {tmp_path}/dev/*; do ln -s $n /dev/; done; ln -sf {tmp_path}/log /dev/log; "
              f"exec {BINARY} serve -c {configuration}")
    (tmp_path / "dev").mkdir()
    process = subprocess.Popen([need("unshare"), "-m", "sh", "-c", script])
    try:
        # Facility mail (2), severity warning (4).
        while not re.match(rf"<{2 * 8 + 4}>ringpost\[\d+\]: .*no_such_directive", logger.recv(4096).decode()):
            pass
        wait_until(lambda: socket.socket().connect_ex(("127.0.0.1", base + 99)) == 0)
        process.terminate()
        assert process.wait(timeout=20) == 0
    finally:
        process.kill()


def no_io_uring():
    """In the child: io_uring_setup gets EPERM, as under docker's default seccomp profile."""
    libc = ctypes.CDLL(None, use_errno=True)
    # ld nr; jne io_uring_setup, 1; ret ERRNO|EPERM; ret ALLOW
    program = b"".join(struct.pack("HBBI", *line) for line in
                       ((0x20, 0, 0, 0), (0x15, 0, 1, 425), (0x06, 0, 0, 0x00050001), (0x06, 0, 0, 0x7FFF0000)))
    buffer = ctypes.create_string_buffer(program, len(program))
    filters = struct.pack("HxxxxxxP", 4, ctypes.addressof(buffer))
    assert libc.prctl(38, 1, 0, 0, 0) == 0
    assert libc.prctl(22, 2, ctypes.create_string_buffer(filters, len(filters)), 0, 0) == 0


def test_a_start_without_io_uring_says_what_is_missing(data, tmp_path):
    folder, _ = data
    done = subprocess.run([BINARY, "demo", "--data", folder, "--port-base", str(data[1])], capture_output=True,
                          text=True, preexec_fn=no_io_uring, timeout=60)
    assert done.returncode != 0
    assert "io_uring is not available" in done.stderr and "seccomp" in done.stderr, done.stderr


def test_a_start_without_locked_memory_says_what_is_missing(data, tmp_path):
    folder, base = data
    done = subprocess.run([need("prlimit"), "--memlock=65536:65536", BINARY, "demo", "--data", folder, "--port-base",
                           str(base)], capture_output=True, text=True, timeout=60)
    assert done.returncode != 0
    assert "65536 bytes of memory may be locked" in done.stderr and "LimitMEMLOCK" in done.stderr, done.stderr


def test_a_service_has_its_own_certificate(data, tmp_path):
    folder, base = data
    imap, pop3 = make_certificate(tmp_path, "imap.example.test"), make_certificate(tmp_path, "pop3.example.test")
    directives = {"data_path": folder, "imap_listen_tls": f"127.0.0.1:{base + 993}",
                  "pop3_listen_tls": f"127.0.0.1:{base + 995}", "lda_listen_tls": f"127.0.0.1:{base + 465}",
                  "imap_certificate_path": imap[0], "imap_private_key_path": imap[1],
                  "pop3_certificate_path": pop3[0], "pop3_private_key_path": pop3[1],
                  "pop3.cfg:tls_min_proto": "tls1.3", "smtp.cfg:tls_min_proto": "tls1.0"}
    with Serve(tmp_path, directives) as serve:
        for name in (None, "imap.example.test", "pop3.example.test"):
            assert presented(base + 993, name)[0] == fingerprint(imap[0])
            assert presented(base + 995, name)[0] == fingerprint(pop3[0])
        assert presented(base + 465, "pop3.example.test")[0] == fingerprint(pop3[0]), "it has none of its own"
        assert presented(base + 993, None, "-tls1_2")[0] and not presented(base + 995, None, "-tls1_2")[0]
        assert "tls_min_proto=tls1.0: TLS 1.0 and 1.1 are not spoken here" in serve.log.read_text()


def test_limits_of_one_service_leave_the_others_alone(data, tmp_path):
    folder, base = data
    directives = {"data_path": folder, "imap_listen": f"127.0.0.1:{base + 143}", "imap.cfg:context_num": "2",
                  "pop3_listen": f"127.0.0.1:{base + 110}"}
    with Serve(tmp_path, directives):
        inside = [imaplib.IMAP4("127.0.0.1", base + 143) for _ in range(2)]
        with pytest.raises(imaplib.IMAP4.error, match="too many connections"):
            imaplib.IMAP4("127.0.0.1", base + 143)
        assert poplib.POP3("127.0.0.1", base + 110).welcome.startswith(b"+OK")
        inside[0].logout()
        wait_until(lambda: is_greeted(base + 143))


def is_greeted(port):
    with socket.create_connection(("127.0.0.1", port)) as client:
        return client.recv(100).startswith(b"* OK")


def test_silence_before_login_is_answered(data, tmp_path):
    folder, base = data
    directives = {"data_path": folder, "imap_listen": f"127.0.0.1:{base + 143}", "imap_conn_timeout": "1s",
                  "pop3_listen": f"127.0.0.1:{base + 110}", "pop3_conn_timeout": "1s"}
    with Serve(tmp_path, directives):
        for port, farewell in ((143, b"* BYE no login for too long"), (110, b"-ERR [SYS/TEMP] you were silent")):
            with socket.create_connection(("127.0.0.1", base + port), timeout=20) as client:
                assert farewell in client.makefile("rb").read(), port
        # Who talks and never logs in is cut, too.
        with socket.create_connection(("127.0.0.1", base + 143), timeout=20) as client:
            started = time.monotonic()
            try:
                while client.sendall(b"a NOOP\r\n") or client.recv(4096):
                    assert time.monotonic() - started < 10
                    time.sleep(0.2)
            except ConnectionError:
                pass
            assert time.monotonic() - started > 1


def test_tls_sessions_resume_on_any_core(data, tmp_path):
    folder, base = data
    pair = make_certificate(tmp_path, "mail.example.test")
    directives = {"data_path": folder, "imap_listen_tls": f"127.0.0.1:{base + 993}", "shards": "2",
                  "admin_listen": f"127.0.0.1:{base + 99}", "imap_certificate_path": pair[0],
                  "imap_private_key_path": pair[1]}
    context = ssl.create_default_context(cafile=pair[0])
    context.check_hostname = False
    with Serve(tmp_path, directives):
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            context.minimum_version = context.maximum_version = version
            session, resumed = None, 0
            for _ in range(10):
                plain = socket.create_connection(("127.0.0.1", base + 993), timeout=20)
                with context.wrap_socket(plain, session=session) as client:
                    assert client.recv(100).startswith(b"* OK")
                    resumed += client.session_reused
                    session = client.session
            assert resumed == 9, version
