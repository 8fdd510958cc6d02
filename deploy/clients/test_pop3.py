"""POP3 with Python's poplib, curl and fetchmail."""

import poplib

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


def fetchmail(server, tmp_path, protocol, port):
    out = tmp_path / "fetched"
    configuration = tmp_path / "fetchmailrc"
    configuration.write_text(
        f'poll 127.0.0.1 service {port} protocol {protocol} auth password\n'
        f'  user "carol@example.test" password "demo" sslproto "" keep\n'
        f'  mda "cat >> {out}; echo >> {out}"\n')
    configuration.chmod(0o600)
    environment = {"FETCHMAILHOME": str(tmp_path), "HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    run([need("fetchmail"), "-f", configuration, "--fetchall", "--idfile", tmp_path / "ids",
         "--pidfile", tmp_path / "pid"], env=environment)
    return out.read_text(errors="replace")


def test_fetchmail_over_pop3_and_imap(server, tmp_path):
    for protocol in ("pop3", "imap"):
        folder = tmp_path / protocol
        folder.mkdir()
        fetched = fetchmail(server, folder, protocol, server.ports[protocol])
        assert fetched.count("Message-ID: <carol.") + fetched.count("Message-Id: <carol.") >= 100, protocol
