"""`ringpost admin` and the tools as they are typed, beside a running server."""

import imaplib
import json
import os
import pathlib
import pty
import select
import shlex
import subprocess
import termios
import time

import pytest

from conftest import BINARY, ROOT, LmtpClient, plain_message, wait_until


def logs_in(server, user, password):
    connection = imaplib.IMAP4("127.0.0.1", server.ports["imap"])
    try:
        connection.login(user, password)
        return connection.select("INBOX")[0] == "OK"
    except imaplib.IMAP4.error:
        return False
    finally:
        connection.shutdown()


def on_a_terminal(command, answers):
    """Runs it on a terminal of its own and answers each prompt; its exit code and what the terminal showed."""
    child, terminal = pty.fork()
    if child == 0:
        os.execv(command[0], [str(word) for word in command])
    shown = b""
    answers = list(answers)
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if not select.select([terminal], [], [], 0.1)[0]:
            continue
        try:
            data = os.read(terminal, 4096)
        except OSError:
            break
        if not data:
            break
        shown += data
        if answers and shown.endswith(b": "):
            # What a person types comes a little later than the prompt; the terminal is silent by then.
            wait_until(lambda: not termios.tcgetattr(terminal)[3] & termios.ECHO)
            os.write(terminal, answers.pop(0).encode() + b"\n")
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), shown.decode()


def test_passwords_typed_on_a_terminal_are_not_shown(demo):
    admin = [BINARY, "admin", "--data", demo.data, "user"]
    code, shown = on_a_terminal([*admin, "add", "dora@example.test", "--ask-password"], ["hidden1", "hidden1"])
    assert code == 0 and "hidden" not in shown, shown
    wait_until(lambda: logs_in(demo, "dora@example.test", "hidden1"))
    code, shown = on_a_terminal([*admin, "change", "dora@example.test", "--ask-password"], ["hidden2", "other"])
    assert code == 1 and "differ" in shown and "hidden" not in shown, shown
    code, shown = on_a_terminal([*admin, "change", "dora@example.test", "--password-stdin"], ["hidden3"])
    assert code == 0 and "hidden" not in shown, shown
    wait_until(lambda: logs_in(demo, "dora@example.test", "hidden3"))


def test_thousand_users_are_imported_while_it_serves(demo):
    lines = "".join(f"many{number}@example.test\n" for number in range(1000))
    started = time.monotonic()
    demo.admin("user", "import", "--password", "demo", "-", input=lines)
    assert time.monotonic() - started < 30
    # A login asks the directory; recipients are looked up in the server's view of it, which follows in seconds.
    wait_until(lambda: logs_in(demo, "many999@example.test", "demo"))
    demo.wait_for_account("many999@example.test")
    replies = LmtpClient(demo).deliver(["many0@example.test", "many999@example.test"], plain_message(1))
    assert all(reply.startswith("250") for reply in replies), replies


def test_the_demo_prints_commands_that_work(demo):
    lines = [line.strip() for line in demo.log.read_text().split("Try:")[1].splitlines() if line.startswith("  ")]
    assert len(lines) == 4, lines
    for line in lines:
        done = subprocess.run(shlex.split(line), capture_output=True, text=True, timeout=30)
        assert done.returncode == 0, f"{line}: {done.stdout}{done.stderr}"
    wait_until(lambda: logs_in(demo, "dave@example.test", "secret"))


def test_the_readme_s_commands_work(tmp_path):
    config = tmp_path / "gromox.cfg"
    config.write_text(f"data_path = {tmp_path / 'data'}\n")
    readme = (ROOT / "README.md").read_text()
    commands = [line.split(" #")[0].strip() for line in readme.splitlines()
                if line.startswith(("    ringpost admin", "    ringpost check-config"))]
    assert len(commands) >= 3, commands
    for command in commands:
        words = shlex.split(command.replace("/etc/gromox/gromox.cfg", str(config)))
        (tmp_path / "users.csv").write_text("bob@example.com,secret,Bob\ncarol@example.com\n")
        done = subprocess.run([BINARY, *words[1:]], input="secret\n", capture_output=True, text=True, cwd=tmp_path)
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    shown = subprocess.run([BINARY, "admin", "-c", config, "--json", "user", "list"], check=True,
                           capture_output=True, text=True).stdout
    assert all(user["has_password"] for user in json.loads(shown) if not user["username"].startswith("carol"))


@pytest.fixture
def tools(tmp_path):
    """The tools by the names of their links."""
    for name in ("gromox-mbck", "gromox-mbsize"):
        (tmp_path / name).symlink_to(pathlib.Path(BINARY).resolve())
    return tmp_path


def test_mailboxes_are_checked_and_measured(server, tools):
    shown = json.loads(server.admin("--json", "user", "show", "alice@example.test"))
    mailbox = pathlib.Path(shown["mailbox"])
    server.stop()
    done = subprocess.run([tools / "gromox-mbck", mailbox / "exmdb/exchange.sqlite3"], capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.endswith(": ok\n"), done.stdout + done.stderr
    done = subprocess.run([tools / "gromox-mbsize", mailbox], capture_output=True, text=True)
    assert done.returncode == 0 and "Provisioning factor" in done.stdout, done.stdout + done.stderr


def test_a_mailbox_in_use_is_not_checked(demo, tools):
    assert logs_in(demo, "alice@example.test", "demo")
    shown = json.loads(demo.admin("--json", "user", "show", "alice@example.test"))
    done = subprocess.run([tools / "gromox-mbck", "-p", shown["mailbox"]], capture_output=True, text=True)
    assert done.returncode == 1 and "open in another process" in done.stderr, done.stdout + done.stderr
