#!/usr/bin/python3
"""How fast messages are queued, durably, beside Postfix on the same disk: `sudo perf/queueing.py [MESSAGES [SESSIONS]]`.

Both are given the same messages by Postfix's `smtp-source`, for a next hop that is down, so that nothing but taking
over is measured. Postfix syncs a file a message; ringpost a journal for all who come meanwhile.
"""

import pathlib
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "deploy/clients"))

from conftest import need  # noqa: E402
from postfix import Postfix  # noqa: E402
from serving import Serve, make_data  # noqa: E402


def offer(port, messages, sessions):
    """Messages a second."""
    begun = time.monotonic()
    subprocess.run([need("smtp-source"), "-s", str(sessions), "-m", str(messages), "-l", "4096", "-d",
                    "-f", "alice@example.test", "-t", "x@remote.test", f"127.0.0.1:{port}"], check=True)
    return messages / (time.monotonic() - begun)


def main():
    messages = int(sys.argv[1]) if len(sys.argv) > 1 else 5000
    sessions = int(sys.argv[2]) if len(sys.argv) > 2 else 50
    rates = {}
    (ROOT / "target").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=ROOT / "target") as folder:
        folder = pathlib.Path(folder)
        data, base = make_data(folder)
        serve = Serve(folder, {"data_path": data, "lda_listen": f"[::ffff:127.0.0.1]:{base + 24}", "log_level": "2",
                               "relay_from": "127.0.0.1", "outgoing_smtp_url": "smtp://127.0.0.1:9",
                               "smtp.cfg:context_num": "1000", "connections_per_address": "1000"})
        with serve:
            # All cores listen.
            time.sleep(1)
            rates["ringpost"] = max(offer(base + 24, messages, sessions) for _ in range(3))
        with Postfix(folder / "postfix", base + 25, relayhost="[127.0.0.1]:9", in_flow_delay="0",
                     default_process_limit="200", smtpd_client_connection_count_limit="0"):
            time.sleep(1)
            rates["Postfix"] = max(offer(base + 25, messages, sessions) for _ in range(3))
    for name, rate in rates.items():
        print(f"{name:10} {rate:8.0f} messages/s")
    print(f"{'ratio':10} {rates['ringpost'] / rates['Postfix']:8.1f}")


if __name__ == "__main__":
    main()
