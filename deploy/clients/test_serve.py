"""`ringpost serve -c FILE`: TLS as `openssl s_client` sees it, PROXY v2, and SIGHUP."""

import imaplib
import poplib
import re
import smtplib
import socket
import ssl
import subprocess
import pytest

from conftest import BINARY, need, plain_message, run, wait_for_log
from serving import Serve, fingerprint, make_certificate, make_data, presented


@pytest.fixture
def data(tmp_path):
    """A data folder, and a base of free ports."""
    return make_data(tmp_path)


def tls_directives(service, *pairs, password=None):
    """The directives of one service for these certificates and keys."""
    directives = {f"{service}_certificate_path": ":".join(str(chain) for chain, _ in pairs),
                  f"{service}_private_key_path": ":".join(str(key) for _, key in pairs)}
    if password:
        directives[f"{service}_certificate_passwd"] = password
    return directives


class Lmtp(smtplib.LMTP):
    """smtplib's LMTP, which has no SSL of its own."""

    def __init__(self, port, context=None):
        self.context = context
        super().__init__("127.0.0.1", port)

    def _get_socket(self, host, port, timeout):
        plain = socket.create_connection((host, port), timeout=20)
        return self.context.wrap_socket(plain) if self.context else plain


def test_certificates_are_chosen_by_name(data, tmp_path):
    folder, base = data
    one = make_certificate(tmp_path, "one.example.test")
    two = make_certificate(tmp_path, "two.example.test")
    directives = {"data_path": folder, "imap_listen_tls": f"127.0.0.1:{base + 993}",
                  "pop3_listen": f"127.0.0.1:{base + 110}", "pop3_support_tls": "yes",
                  **tls_directives("imap", one, two)}
    with Serve(tmp_path, directives):
        for name, (chain, _) in (("one.example.test", one), ("two.example.test", two), (None, one),
                                 ("three.example.test", one)):
            assert presented(base + 993, name)[0] == fingerprint(chain), name
            assert presented(base + 110, name, starttls="pop3")[0] == fingerprint(chain), name


@pytest.mark.parametrize("cipher", ["des3", "aes-256-cbc"])
def test_encrypted_key(data, tmp_path, cipher):
    """With the ciphers that `openssl req` and `openssl pkcs8` use where none is named."""
    folder, base = data
    pair = make_certificate(tmp_path, "mail.example.test", password="key secret", cipher=cipher)
    directives = {"data_path": folder, "lda_listen_tls": f"127.0.0.1:{base + 24}"}
    with Serve(tmp_path, {**directives, **tls_directives("smtp", pair, password="key secret")}) as serve:
        assert presented(base + 24)[0] == fingerprint(pair[0])
        assert "key secret" not in serve.log.read_text()
    for password, complaint in (("wrong", "the encrypted key can't be read"), (None, "no password is configured")):
        configuration = tmp_path / "bad.cfg"
        wrong = {**serve.directives, **tls_directives("smtp", pair, password=password)}
        if password is None:
            del wrong["smtp_certificate_passwd"]
        configuration.write_text("".join(f"{key}={value}\n" for key, value in wrong.items()))
        done = subprocess.run([BINARY, "serve", "-c", configuration], capture_output=True, text=True, timeout=30)
        assert done.returncode != 0 and complaint in done.stderr and "mail.example.test.key" in done.stderr, done.stderr


def test_oldest_protocol(data, tmp_path):
    folder, base = data
    pair = make_certificate(tmp_path, "mail.example.test")
    directives = {"data_path": folder, "imap_listen_tls": f"127.0.0.1:{base + 993}", **tls_directives("imap", pair)}
    with Serve(tmp_path, directives) as serve:
        assert "TLSv1.2" in presented(base + 993, None, "-tls1_2")[1]
        assert "TLSv1.3" in presented(base + 993, None)[1]
        for old in ("-tls1", "-tls1_1"):
            before = serve.log.stat().st_size
            assert presented(base + 993, None, old, "-cipher", "ALL:@SECLEVEL=0")[0] is None
            wait_for_log(serve, r"127\.0\.0\.1.*older than tls_min_proto", before)
        assert "configuration reloaded" in serve.reload(**{"imap.cfg:tls_min_proto": "tls1.3"})
        assert presented(base + 993, None, "-tls1_2")[0] is None
        assert "TLSv1.3" in presented(base + 993, None, "-tls1_3")[1]
        wait_for_log(serve, "older than tls_min_proto")


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_sessions_are_resumed(data, tmp_path, version):
    """By whichever core accepts; a session's ticket is one for all."""
    folder, base = data
    pair = make_certificate(tmp_path, "mail.example.test")
    directives = {"data_path": folder, "imap_listen_tls": f"127.0.0.1:{base + 993}", "shards": "2",
                  "admin_listen": f"127.0.0.1:{base + 99}", **tls_directives("imap", pair)}
    connect = [need("openssl"), "s_client", "-connect", f"127.0.0.1:{base + 993}", version, "-ign_eof"]
    with Serve(tmp_path, directives):
        session = tmp_path / "session"
        # The ticket of TLS 1.3 comes with the first answer.
        shown = run([*connect, "-sess_out", session], input="a LOGOUT\r\n")
        assert "New, TLSv1" in shown and "a OK" in shown, shown
        for _ in range(10):
            shown = run([*connect, "-sess_in", session], input="a LOGOUT\r\n")
            assert "Reused, TLSv1" in shown and "a OK" in shown, shown
        metrics = run([need("curl"), "-sS", f"http://127.0.0.1:{base + 99}/metrics"])
        resumed = re.findall(r"^ringpost_tls_resumed_total\{.*\} (\d+)", metrics, re.MULTILINE)
        assert sum(map(int, resumed)) == 10 and len(resumed) == 2, resumed


def test_a_certificate_is_renewed_by_sighup(data, tmp_path):
    folder, base = data
    chain, key = make_certificate(tmp_path, "mail.example.test")
    directives = {"data_path": folder, "imap_listen_tls": f"127.0.0.1:{base + 993}",
                  **tls_directives("imap", (chain, key))}
    context = ssl.create_default_context(cafile=chain)
    context.check_hostname = False
    with Serve(tmp_path, directives) as serve:
        session = imaplib.IMAP4_SSL("127.0.0.1", base + 993, ssl_context=context)
        session.login("alice@example.test", "demo")
        before = fingerprint(chain)
        make_certificate(tmp_path, "mail.example.test")
        assert fingerprint(chain) != before
        assert "configuration reloaded" in serve.reload()
        assert presented(base + 993)[0] == fingerprint(chain)
        assert session.select("INBOX")[0] == "OK", "the session of before goes on"
        # A broken file changes nothing, and the server serves on.
        renewed = fingerprint(chain)
        chain.write_text("no certificate")
        assert "not reloaded" in serve.reload()
        assert presented(base + 993)[0] == renewed
        assert session.noop()[0] == "OK"
        session.logout()


def test_lmtp_over_tls(data, tmp_path):
    folder, base = data
    pair = make_certificate(tmp_path, "mail.example.test")
    directives = {"data_path": folder, "lda_listen_tls": f"127.0.0.1:{base + 465}",
                  "lda_listen": f"127.0.0.1:{base + 24}", "smtp_force_starttls": "yes", "smtp_support_starttls": "yes",
                  **tls_directives("smtp", pair)}
    context = ssl.create_default_context(cafile=pair[0])
    context.check_hostname = False
    with Serve(tmp_path, directives):
        source = plain_message("tls")
        with Lmtp(base + 465, context) as lmtp:
            assert lmtp.sendmail("sender@example.org", ["alice@example.test"], source) == {}
        with Lmtp(base + 24) as lmtp:
            lmtp.ehlo_or_helo_if_needed()
            assert lmtp.mail("sender@example.org")[0] == 530, "nothing without STARTTLS"
            assert lmtp.starttls(context=context)[0] == 220
            assert lmtp.sendmail("sender@example.org", ["alice@example.test"], source) == {}


@pytest.mark.parametrize("service", ["imap", "pop3", "lmtp"])
def test_haproxy_with_proxy_v2(data, tmp_path, service):
    """Listeners that expect PROXY v2, behind HAProxy: a client's address is the one it told."""
    folder, base = data
    front, back = base + 600, base + 601
    listen, option = {"imap": ("imap_listen", "imap_accept_haproxy"), "pop3": ("pop3_listen", "pop3_accept_haproxy"),
                      "lmtp": ("lda_listen", "lda_support_haproxy")}[service]
    (tmp_path / "haproxy.cfg").write_text(
        f"defaults\n mode tcp\n timeout connect 5s\n timeout client 30s\n timeout server 30s\n"
        f"frontend f\n bind 127.0.0.1:{front}\n default_backend b\n"
        f"backend b\n server s 127.0.0.1:{back} source 127.0.0.9 send-proxy-v2\n")
    directives = {"data_path": folder, listen: f"127.0.0.1:{back}", option: "2"}
    if service == "lmtp":
        directives["imap_listen"] = f"127.0.0.1:{back + 1}"
    with Serve(tmp_path, directives) as serve:
        proxy = subprocess.Popen([need("haproxy"), "-f", tmp_path / "haproxy.cfg"])
        try:
            serve.wait_for_listener(front)
            # A client from an address of its own; what HAProxy connects from is another.
            with socket.create_connection(("127.0.0.1", front), timeout=20, source_address=("127.0.0.77", 0)) as client:
                client.recv(1000)
                client.sendall({"imap": b"a LOGIN alice@example.test wrong\r\n",
                                "pop3": b"USER alice@example.test\r\nPASS wrong\r\n",
                                "lmtp": b"LHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<alice@example.test>\r\nDATA\r\n.\r\nQUIT\r\n"}[service])
                while service == "lmtp" and client.recv(1000):
                    pass
                if service != "lmtp":
                    wait_for_log(serve, r"127\.0\.0\.77")
            assert "127.0.0.9" not in serve.log.read_text()
            if service == "imap":
                connection = imaplib.IMAP4("127.0.0.1", front)
                assert connection.login("alice@example.test", "demo")[0] == "OK"
                assert int(connection.select("INBOX")[1][0]) >= 100
                connection.logout()
            elif service == "pop3":
                connection = poplib.POP3("127.0.0.1", front)
                connection.user("alice@example.test")
                connection.pass_("demo")
                assert connection.stat()[0] >= 100
                connection.quit()
            else:
                with Lmtp(front) as lmtp:
                    lmtp.sendmail("sender@example.org", ["alice@example.test"], plain_message("proxied"))
                # The client's address is in the message's trace.
                imap = imaplib.IMAP4("127.0.0.1", back + 1)
                imap.login("alice@example.test", "demo")
                imap.select("INBOX")
                traces = [item[1] for item in imap.fetch("100:*", "(BODY.PEEK[HEADER.FIELDS (RECEIVED)])")[1]
                          if isinstance(item, tuple)]
                assert any(b"127.0.0.77" in trace for trace in traces), traces
                assert not any(b"127.0.0.9" in trace for trace in traces), traces
                imap.logout()
        finally:
            proxy.terminate()
            proxy.wait()
        with socket.create_connection(("127.0.0.1", back), timeout=60) as direct:
            direct.sendall(b"a LOGIN alice@example.test demo\r\n")
            try:
                answer = direct.recv(100)
            except ConnectionResetError:
                answer = b""
            assert answer == b"", "a connection without the PROXY header was greeted"


def test_options_change_by_sighup(data, tmp_path):
    """New sessions have the new options; sessions of before go on with what they began with."""
    folder, base = data
    directives = {"data_path": folder, "lda_listen": f"127.0.0.1:{base + 24}",
                  "imap_listen": f"127.0.0.1:{base + 143}", "pop3_listen": f"127.0.0.1:{base + 110}"}
    with Serve(tmp_path, directives) as serve:
        imap = imaplib.IMAP4("127.0.0.1", base + 143)
        imap.login("alice@example.test", "demo")
        imap.select("INBOX")
        old = Lmtp(base + 24)
        old.ehlo()
        assert old.esmtp_features["size"] == str(64 << 20)
        assert old.mail("sender@example.org")[0] == 250
        assert old.rcpt("alice+tag@example.test")[0] == 550, "no delimiter is configured"

        logged = serve.reload(lda_recipient_delimiter="+", mail_max_length="1M", pop3_cmd_debug="2")
        assert "configuration reloaded" in logged, logged
        with Lmtp(base + 24) as new:
            new.ehlo()
            assert new.esmtp_features["size"] == str(1 << 20)
            assert new.sendmail("sender@example.org", ["alice+tag@example.test"], plain_message("tagged")) == {}
            with pytest.raises(smtplib.SMTPSenderRefused):
                new.sendmail("sender@example.org", ["alice@example.test"], plain_message("large", 2 << 20))
        pop3 = poplib.POP3("127.0.0.1", base + 110)
        pop3.user("alice@example.test")
        pop3.pass_("demo")
        count = pop3.stat()[0]
        pop3.quit()
        # pop3_cmd_debug has an effect; the log is written a moment later.
        wait_for_log(serve, "pop3 command.*STAT")

        # The sessions of before: LMTP with its options, IMAP with its state.
        assert old.rcpt("alice@example.test")[0] == 250
        code, _ = old.data(plain_message("old", 2 << 20))
        assert code == 250
        old.quit()
        assert int(imap.select("INBOX")[1][0]) == count + 1
        imap.logout()

        # Limits, too; who is connected stays.
        imap = imaplib.IMAP4("127.0.0.1", base + 143)
        imap.login("alice@example.test", "demo")
        assert "configuration reloaded" in serve.reload(connections_per_user="1")
        second = imaplib.IMAP4("127.0.0.1", base + 143)
        with pytest.raises(imaplib.IMAP4.abort):
            second.login("alice@example.test", "demo")
            second.noop()
        assert imap.select("INBOX")[0] == "OK"
        imap.logout()

        # A configuration with an error changes nothing.
        assert "not reloaded" in serve.reload(mail_max_length="a lot")
        with Lmtp(base + 24) as new:
            new.ehlo()
            assert new.esmtp_features["size"] == str(1 << 20)
