"""A Mozilla program driven from outside: the least of a client of Marionette, its remote control.

A message is its length in decimal, a colon and JSON: `[0, id, command, parameters]` there, `[1, id, error, result]`
back (Firefox's source documentation, "Marionette protocol"). Scripts run with the program's own rights, so a test
can both press what a person presses and ask the program what it shows.
"""

import json
import socket
import time


class MarionetteError(Exception):
    """The program answered a command with an error."""


class Marionette:
    """A session, in the privileged context."""

    def __init__(self, port, timeout_s=120):
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                self.socket = socket.create_connection(("127.0.0.1", port), timeout=timeout_s)
                break
            except ConnectionRefusedError:
                assert time.monotonic() < deadline, "Marionette does not listen"
                time.sleep(0.1)
        self.file = self.socket.makefile("rb")
        self.number = 0
        greeting = self.receive()
        assert greeting["marionetteProtocol"] == 3, greeting
        self.send("WebDriver:NewSession", {"capabilities": {}})
        self.send("WebDriver:SetTimeouts", {"script": timeout_s * 1000})
        self.send("Marionette:SetContext", {"value": "chrome"})

    def receive(self):
        digits = b""
        while (byte := self.file.read(1)) != b":":
            if not byte:
                raise ConnectionError("the program closed its remote control")
            digits += byte
        return json.loads(self.file.read(int(digits)))

    def send(self, command, parameters=None):
        self.number += 1
        packet = json.dumps([0, self.number, command, parameters or {}]).encode()
        self.socket.sendall(b"%d:%s" % (len(packet), packet))
        kind, number, error, result = self.receive()
        assert (kind, number) == (1, self.number)
        if error:
            raise MarionetteError(f"{command}: {error['error']}: {error['message']}\n{error.get('stacktrace', '')}")
        return result

    def script(self, source, *arguments):
        """Runs the body of an asynchronous function in the current window; what it returns."""
        wrapped = f"""
            let [...given] = arguments;
            let resolve = given.pop();
            (async function () {{ {source} }})(...given).then(
                value => resolve({{ value }}), error => resolve({{ error: `${{error}} ${{error.stack}}` }}));"""
        result = self.send("WebDriver:ExecuteAsyncScript",
                           {"script": wrapped, "args": list(arguments), "newSandbox": True, "sandbox": "system"})
        answer = result["value"]
        if "error" in answer:
            raise MarionetteError(f"{answer['error']}\nin: {source}")
        return answer.get("value")

    def wait_for(self, source, *arguments, timeout_s=60):
        """Until a script returns something true; what it returned."""
        deadline = time.monotonic() + timeout_s
        while not (value := self.script(source, *arguments)):
            assert time.monotonic() < deadline, f"never true within {timeout_s} s: {source}"
            time.sleep(0.1)
        return value

    @staticmethod
    def wait(condition, timeout_s=60):
        deadline = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < deadline, f"not within {timeout_s} s"
            time.sleep(0.1)

    def windows(self):
        return self.send("WebDriver:GetWindowHandles")

    def switch_to(self, handle):
        self.send("WebDriver:SwitchToWindow", {"handle": handle, "focus": True})

    def find(self, selector, timeout_s=60):
        """The first element that is shown and matches, within shadow roots, too."""
        found = self.wait_for("""
            let search = root => {
                for (let element of root.querySelectorAll(given[0])) {
                    if (element.checkVisibility()) return element;
                }
                for (let element of root.querySelectorAll("*")) {
                    let found = element.shadowRoot && search(element.shadowRoot);
                    if (found) return found;
                }
                return null;
            };
            return search(document);""", selector, timeout_s=timeout_s)
        return next(iter(found.values()))

    def click(self, selector):
        self.send("WebDriver:ElementClick", {"id": self.find(selector)})

    def type(self, selector, text):
        self.send("WebDriver:ElementSendKeys", {"id": self.find(selector), "text": text})

    def clear(self, selector):
        self.send("WebDriver:ElementClear", {"id": self.find(selector)})

    def close(self):
        self.socket.close()
