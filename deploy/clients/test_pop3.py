"""POP3 with Python's poplib, curl and fetchmail."""

import email
import email.policy
import poplib
import re
import subprocess

import pytest

from conftest import LmtpClient, need, plain_message, run


def login(server, user="alice"):
    connection = poplib.POP3("127.0.0.1", server.ports["pop3"])
    connection.user(f"{user}@example.test")
    connection.pass_("demo")
    return connection


def test_poplib_reads_and_deletes(server):
    connection = login(server)
    count, size = connection.stat()
    assert count >= 100 and size > count * 300
    uids = [line.split()[1] for line in connection.uidl()[1]]
    assert len(set(uids)) == count
    lines = connection.retr(1)[1]
    assert connection.top(1, 0)[1] == lines[:lines.index(b"") + 1]
    connection.dele(1)
    connection.quit()
    connection = login(server)
    assert connection.stat()[0] == count - 1
    assert [line.split()[1] for line in connection.uidl()[1]] == uids[1:]
    connection.quit()


def test_source_comes_back(server):
    lmtp = LmtpClient(server)
    source = plain_message(3) + b".\r\n..\r\n.hidden\r\n"
    assert lmtp.deliver(["bob@example.test"], source)[0].startswith("250")
    connection = login(server, "bob")
    lines = connection.retr(connection.stat()[0])[1]
    assert b"\r\n".join(lines).endswith(source.rstrip(b"\r\n"))
    connection.quit()


def test_headers_are_ascii_without_utf8(server):
    """RFC 6856: the source as it came for a client that issued UTF8, ASCII headers that read the same for others."""
    source = ("From: J\u00f6rg <joerg@example.org>\r\nTo: bob@example.test\r\nSubject: Gr\u00fc\u00dfe aus K\u00f6ln\r\n"
              "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n"
              "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\nsch\u00f6n\r\n--b\r\n"
              "Content-Disposition: attachment; filename=\"\u00dcbung.txt\"\r\n\r\nx\r\n--b--\r\n").encode()
    lmtp = LmtpClient(server)
    assert lmtp.deliver(["bob@example.test"], source)[0].startswith("250")
    lmtp.close()
    connection = login(server, "bob")
    lines = connection.retr(connection.stat()[0])[1]
    connection.quit()
    message = email.message_from_bytes(b"\r\n".join(lines), policy=email.policy.default)
    for part in message.walk():
        assert all(str(value) for value in part.values()) and not part.defects
    header = b"\r\n".join(lines).partition(b"\r\n\r\n")[0]
    assert header.isascii()
    assert message["Subject"] == "Gr\u00fc\u00dfe aus K\u00f6ln" and message["From"].addresses[0].display_name == "J\u00f6rg"
    text, attachment = message.iter_parts()
    assert text.get_content().strip() == "sch\u00f6n" and attachment.get_filename() == "\u00dcbung.txt"
    connection = poplib.POP3("127.0.0.1", server.ports["pop3"])
    connection.utf8()
    connection.user("bob@example.test")
    connection.pass_("demo")
    assert b"\r\n".join(connection.retr(connection.stat()[0])[1]).endswith(source.rstrip(b"\r\n"))
    connection.quit()


def test_stls_and_pop3s(server, client_tls):
    connection = poplib.POP3("127.0.0.1", server.ports["pop3"])
    connection.stls(client_tls)
    connection.user("alice@example.test")
    connection.pass_("demo")
    connection.quit()
    connection = poplib.POP3_SSL("127.0.0.1", server.ports["pop3s"], context=client_tls)
    assert "UIDL" in connection.capa()
    connection.quit()


def test_curl_lists_and_retrieves(server):
    curl = need("curl")
    base = f"pop3://127.0.0.1:{server.ports['pop3']}"
    listing = run([curl, "-sS", "-u", "alice@example.test:demo", f"{base}/"])
    assert len(listing.splitlines()) >= 100
    message = run([curl, "-sS", "-u", "alice@example.test:demo", f"{base}/1"])
    assert "Message-ID: <alice.0.0@example.test>" in message
    secure = run([curl, "-sSk", "-u", "alice@example.test:demo", f"pop3s://127.0.0.1:{server.ports['pop3s']}/1"])
    assert secure == message


def fetchmail(server, folder, protocol, port, options="", *arguments):
    """One run; what its mail delivery agent got so far."""
    out = folder / "fetched"
    configuration = folder / "fetchmailrc"
    configuration.write_text(
        f'poll 127.0.0.1 service {port} protocol {protocol} auth password uidl\n'
        f'  user "carol@example.test" password "demo" {options}\n'
        f'  mda "cat >> {out}; echo >> {out}"\n'.replace(" uidl" if protocol == "imap" else "\0", ""))
    configuration.chmod(0o600)
    environment = {"FETCHMAILHOME": str(folder), "HOME": str(folder), "PATH": "/usr/bin:/bin"}
    done = subprocess.run([need("fetchmail"), "-f", configuration, "--idfile", folder / "ids",
                           "--pidfile", folder / "pid", *arguments], env=environment, capture_output=True, text=True)
    # 1 says that there was nothing new.
    assert done.returncode in (0, 1), done.stdout + done.stderr
    fetched = out.read_text(errors="replace") if out.exists() else ""
    return len(re.findall("^Message-ID: <(?:carol|new)", fetched, re.MULTILINE | re.IGNORECASE))


@pytest.mark.parametrize("protocol", ["pop3", "imap"])
@pytest.mark.parametrize("tls", ["plain", "starttls", "tls"])
def test_fetchmail(server, tmp_path, protocol, tls):
    """All once and kept; then what is new alone; then all that is there is fetched and deleted."""
    port = server.ports[protocol + ("s" if tls == "tls" else "")]
    options = {"plain": 'sslproto ""', "starttls": 'sslproto "tls1.2+" no sslcertck', "tls": "ssl no sslcertck"}[tls]
    arguments = (server, tmp_path, protocol, port)
    connection = login(server, "carol")
    count = connection.stat()[0]
    connection.quit()
    # The inbox of the demo has read messages, too.
    assert fetchmail(*arguments, f"{options} keep", "--fetchall") == count
    lmtp = LmtpClient(server)
    for number in range(3):
        new = plain_message(number).replace(b"Message-ID: <", b"Message-ID: <new")
        assert lmtp.deliver(["carol@example.test"], new)[0].startswith("250")
    lmtp.close()
    assert fetchmail(*arguments, f"{options} keep") == count + 3
    assert fetchmail(*arguments, f"{options} nokeep", "--fetchall") == 2 * (count + 3)
    connection = login(server, "carol")
    assert connection.stat()[0] == 0
    connection.quit()
