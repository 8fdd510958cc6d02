"""The machine: what it is, and what must be installed on it."""

import os
import pathlib
import platform
import re
import subprocess
import time

from .servers import ROOT

PACKAGES = ("dovecot-imapd", "dovecot-lmtpd", "dovecot-pop3d", "linux-perf", "openssl", "postfix", "python3-pytest", "strace", "valgrind")
CRATES = ("ringpost", "ringpost-loadgen", "ringpost-micro")


def prepare(build=True):
    """Installs what is missing and builds what is measured."""
    missing = [package for package in PACKAGES if not installed(package)]
    if missing:
        print("installing", *missing, flush=True)
        root = [] if os.geteuid() == 0 else ["sudo"]
        subprocess.run([*root, "apt-get", "update", "-qq"], check=True)
        subprocess.run([*root, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "-y", "-qq",
                        "--no-install-recommends", *missing], check=True, stdout=subprocess.DEVNULL)
    if build:
        names = [word for crate in CRATES for word in ("-p", crate)]
        subprocess.run(["cargo", "build", "--release", "--locked", *names], cwd=ROOT, check=True)


def installed(package):
    done = subprocess.run(["dpkg-query", "-W", "-f=${Status}", package], capture_output=True, text=True)
    return "ok installed" in done.stdout


def drop_page_cache():
    """So that what is read next comes from the disk."""
    subprocess.run(["sync"], check=True)
    pathlib.Path("/proc/sys/vm/drop_caches").write_text("3")


def syncs_a_second(folder, seconds=1.0):
    """Single fdatasyncs of 4 KiB in turn: what the disk does for one who waits for each."""
    path = folder / "sync-test"
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR)
    os.pwrite(descriptor, bytes(1 << 20), 0)
    os.fsync(descriptor)
    count, begin = 0, time.monotonic()
    while time.monotonic() - begin < seconds:
        os.pwrite(descriptor, os.urandom(4096), count % 200 * 4096)
        os.fdatasync(descriptor)
        count += 1
    os.close(descriptor)
    path.unlink()
    return count / seconds


def facts(folder):
    """Name → value, for the report."""
    cpu = pathlib.Path("/proc/cpuinfo").read_text()
    memory = pathlib.Path("/proc/meminfo").read_text()
    output = lambda *command: subprocess.run(command, capture_output=True, text=True).stdout.strip()
    return {
        "processor": f"{re.search(r'model name.*: (.*)', cpu)[1]}, {os.cpu_count()} cores",
        "memory": f"{int(re.search(r'MemTotal: *([0-9]+)', memory)[1]) / (1 << 20):.0f} GiB",
        "kernel": platform.release(),
        "file system": output("stat", "-f", "-c", "%T", str(folder)),
        "single fdatasyncs a second": f"{syncs_a_second(folder):,.0f}",
        "Rust": output("rustc", "--version"),
        "ringpost": output("git", "-C", str(ROOT), "describe", "--always", "--dirty"),
        "Dovecot": output("dovecot", "--version"),
        "date": time.strftime("%Y-%m-%d"),
    }
