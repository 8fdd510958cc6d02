"""Thunderbird in front of nobody: a profile, a screen and the remote control."""

import json
import pathlib
import subprocess

from conftest import free_port, need
from marionette import Marionette

# Nothing that Thunderbird would say to a new user, and nobody that it would call.
QUIET = {
    "app.update.enabled": False, "datareporting.policy.dataSubmissionEnabled": False,
    "mailnews.start_page.enabled": False, "mail.shell.checkDefaultClient": False, "mail.rights.version": 1,
    "mail.spotlight.firstRunDone": True, "app.donation.eoy.version.viewed": 999, "mail.biff.show_alert": False,
    "extensions.update.enabled": False, "services.settings.server": "data:,", "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False, "mailnews.auto_config.fetchFromISP.enabled": False,
    "mailnews.auto_config.fetchFromExchange.enabled": False, "mailnews.mx_service_url": "",
    # Single messages in the list, not conversations folded up.
    "mailnews.default_view_flags": 0,
}
MAIL_SERVICES = 'let { MailServices } = ChromeUtils.importESModule("resource:///modules/MailServices.sys.mjs");'
PANE = 'let pane = document.getElementById("tabmail").currentAbout3Pane;'
SHOWN = 'let shown = document.getElementById("tabmail").currentAboutMessage;'


class Thunderbird:
    """A running Thunderbird, with `preferences` set from the first start on."""

    def __init__(self, screen, preferences=None):
        self.screen = screen
        self.profile = screen.folder / "profile"
        self.profile.mkdir()
        port = free_port()
        preferences = {**QUIET, "marionette.port": port, **(preferences or {})}
        (self.profile / "user.js").write_text("".join(
            f"user_pref({json.dumps(key)}, {json.dumps(value)});\n" for key, value in preferences.items()))
        with open(screen.folder / "thunderbird.log", "wb") as log:
            self.process = subprocess.Popen(
                [need("thunderbird"), "--marionette", "--remote-allow-system-access", "--no-remote", "--profile",
                 self.profile], env=screen.environment, stdout=log, stderr=log)
        self.remote = Marionette(port)
        self.main = self.remote.windows()[0]
        self.remote.switch_to(self.main)
        self.remote.send("WebDriver:SetWindowRect", {"x": 0, "y": 0, "width": 1280, "height": 900})

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.remote.close()
        self.process.terminate()
        try:
            self.process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def remember_password(self, kind, user, password):
        """As if somebody had typed it and ticked the box."""
        self.remote.script("""
            let login = Cc["@mozilla.org/login-manager/loginInfo;1"].createInstance(Ci.nsILoginInfo);
            login.init(given[0], null, given[0], given[1], given[2], "", "");
            await Services.logins.addLoginAsync(login);""", f"{kind}://127.0.0.1", user, password)

    def other_window(self):
        """The window that opened beside the main one, and goes on with it."""
        self.remote.wait(lambda: len(self.remote.windows()) > 1)
        window = next(one for one in self.remote.windows() if one != self.main)
        self.remote.switch_to(window)

    def main_window(self):
        """Back to the main window, once it is the only one."""
        self.remote.wait(lambda: self.remote.windows() == [self.main])
        self.remote.switch_to(self.main)

    def open_inbox(self):
        self.remote.wait_for(f"""{MAIL_SERVICES} {PANE}
            let account = MailServices.accounts.accounts.find(one => one.incomingServer.type == "imap");
            let inbox = account?.incomingServer.rootFolder.getFolderWithFlags(Ci.nsMsgFolderFlags.Inbox);
            if (!inbox) return false;
            if (pane.gFolder?.URI != inbox.URI) pane.displayFolder(inbox.URI);
            return pane.gFolder?.URI == inbox.URI && pane.gDBView?.rowCount > 0;""")

    def folders(self):
        """The names of the account's folders and how many messages each has."""
        return dict(self.remote.script(f"""{PANE}
            return pane.gFolder.server.rootFolder.descendants.map(
                folder => [folder.URI.split("/").slice(3).map(decodeURIComponent).join("/"), folder.getTotalMessages(false)]);"""))

    def read(self, message_id):
        """Waits for a message in the open folder, opens it; what is shown of it, once it is."""
        self.remote.wait_for(f"""{PANE}
            for (let header of pane.gFolder.messages) {{
                if (header.messageId == given[0]) {{ pane.selectMessage(header); return true; }}
            }}
            return false;""", message_id)
        return self.remote.wait_for(f"""{SHOWN}
            let body = shown?.getMessagePaneBrowser?.()?.contentDocument?.body;
            if (!shown?.msgLoaded || shown.gMessage?.messageId != given[0] || !body?.textContent.trim()) return null;
            return {{
                subject: shown.gMessage.mime2DecodedSubject, author: shown.gMessage.mime2DecodedAuthor,
                text: body.textContent, bold: [...body.querySelectorAll("b")].map(one => one.textContent),
                attachments: shown.currentAttachments.map(one => one.name),
            }};""", message_id)

    def reply(self, text, attachment: pathlib.Path, picture):
        """Replies to the message that is shown, with a file attached; presses Send and waits until it is sent."""
        self.remote.script(f'{SHOWN} shown.document.getElementById("hdrReplyButton").click();')
        self.other_window()
        self.remote.wait_for("return window.composeEditorReady && document.readyState == 'complete';")
        self.remote.script("""
            let file = Cc["@mozilla.org/file/local;1"].createInstance(Ci.nsIFile);
            file.initWithPath(given[0]);
            // What the dialog for files does with the chosen one.
            await AddAttachments([FileToAttachment(file)]);
            GetCurrentEditor().insertText(given[1]);
            // Until it is drawn, for the picture.
            for (let frame = 0; frame < 5; frame++) await new Promise(resolve => requestAnimationFrame(resolve));""",
            str(attachment), text)
        self.screen.picture(picture)
        self.remote.script('goDoCommand("cmd_sendNow");')
        self.main_window()

    def delete(self):
        """Presses Delete at the message that is shown."""
        self.remote.script(f'{SHOWN} shown.document.getElementById("hdrTrashButton").click();')
