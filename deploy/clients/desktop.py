"""A screen that nobody sits at: Xvfb, and pictures of it."""

import os
import subprocess

from conftest import need


class Screen:
    """A running Xvfb on a display that it chose; `environment` has what its programs need."""

    def __init__(self, folder, size="1280x900x24"):
        self.folder = folder
        reading, writing = os.pipe()
        with open(folder / "xvfb.log", "wb") as log:
            self.process = subprocess.Popen(
                [need("Xvfb"), "-displayfd", str(writing), "-screen", "0", size, "-nolisten", "tcp", "-noreset"],
                pass_fds=[writing], stdout=log, stderr=log)
        os.close(writing)
        with os.fdopen(reading) as number:
            display = number.readline().strip()
        assert display, (folder / "xvfb.log").read_text()
        self.environment = {**os.environ, "DISPLAY": f":{display}", "HOME": str(folder), "LANG": "C.UTF-8",
                            "GDK_BACKEND": "x11", "NO_AT_BRIDGE": "1", "TZ": "UTC"}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(timeout=30)

    def picture(self, name):
        """A picture of the whole screen, for a person to look at; kept beside the test's other files."""
        path = self.folder / f"{name}.png"
        subprocess.run([need("import"), "-window", "root", path], check=True, env=self.environment, timeout=60)
        return path
