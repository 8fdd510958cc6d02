"""Chromium without a window, for tests of pages. Selenium is imported late: only the full suite installs it."""

import time

from conftest import need


class Browser:
    """A running Chromium; pictures of its page go to `folder`. Nothing is found on a page that is busy by its own
    account, an expression: many take no clicks meanwhile."""

    def __init__(self, folder, busy="false"):
        from selenium import webdriver
        folder.mkdir()
        self.folder, self.busy = folder, busy
        options = webdriver.ChromeOptions()
        options.binary_location = need("chromium")
        for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--window-size=1280,900",
                         "--disable-background-networking", "--no-first-run", f"--user-data-dir={folder}/profile"):
            options.add_argument(argument)
        service = webdriver.ChromeService(need("chromedriver"), log_output=str(folder / "driver.log"))
        self.driver = webdriver.Chrome(options=options, service=service)
        self.driver.set_page_load_timeout(60)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.driver.quit()

    def open(self, address):
        self.driver.get(address)

    def attempt(self, action, what, timeout_s=60):
        """Does something with the page until it works and returns something true; what it returned. A page that is
        just replaced answers with errors of several kinds."""
        from selenium.common.exceptions import WebDriverException
        deadline = time.monotonic() + timeout_s
        problem = None
        while True:
            try:
                if value := action():
                    return value
            except WebDriverException as error:
                problem = error.msg
            assert time.monotonic() < deadline, f"not within {timeout_s} s: {what}: {problem}; {self.picture('stuck')}"
            time.sleep(0.1)

    def wait(self, script, *arguments, timeout_s=60):
        """Until a function's body returns something true; what it returned."""
        return self.attempt(lambda: self.driver.execute_script(script, *arguments), f"{script} {arguments}", timeout_s)

    def find(self, selector, text=None):
        """The first element that is shown, can be used, matches, and has this text where one is given."""
        return self.wait(f"""
            return !({self.busy}) && [...document.querySelectorAll(arguments[0])].find(one => one.checkVisibility() && !one.disabled
                && !one.classList.contains("disabled") && (arguments[1] === null || one.innerText.trim() == arguments[1]));""",
                         selector, text)

    def click(self, selector, text=None):
        self.attempt(lambda: self.find(selector, text).click() or True, f"click {selector} {text}")

    def type(self, selector, text):
        self.find(selector).send_keys(text)

    def frame(self, name):
        """Goes into a frame, once it is there."""
        self.attempt(lambda: self.driver.switch_to.frame(name) or True, f"frame {name}")

    def top(self):
        self.driver.switch_to.default_content()

    def picture(self, name):
        path = self.folder / f"{name}.png"
        self.driver.save_screenshot(str(path))
        return path
