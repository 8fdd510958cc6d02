"""Roundcube of a test's own: Debian's package under php-fpm behind nginx, with a database in the test's folder."""

import os
import pathlib
import pwd
import shutil
import sqlite3
import subprocess
import urllib.error
import urllib.request

from conftest import free_port, need, wait_until
from postfix import open_to_others

PACKAGE = pathlib.Path("/var/lib/roundcube")


class Roundcube:
    """A running Roundcube for the IMAP and submission ports given; `address` is its page."""

    def __init__(self, folder, imap, submission):
        self.folder = folder
        folder.mkdir()
        open_to_others(folder)
        self.port = free_port()
        self.address = f"http://127.0.0.1:{self.port}/"
        for part in ("config", "logs", "temp", "db", "nginx"):
            (folder / part).mkdir()
        with sqlite3.connect(folder / "db/roundcube.sqlite3") as database:
            database.executescript((PACKAGE / "SQL/sqlite.initial.sql").read_text())
        database.close()
        (folder / "config/defaults.inc.php").symlink_to("/etc/roundcube/defaults.inc.php")
        (folder / "config/config.inc.php").write_text(f"""<?php
$config['db_dsnw'] = 'sqlite:///{folder}/db/roundcube.sqlite3?mode=0640';
$config['imap_host'] = '127.0.0.1:{imap}';
// LIST "" "*" shows one's own folders, so that it opens no other mailbox.
$config['imap_force_ns'] = true;
$config['smtp_host'] = '127.0.0.1:{submission}';
$config['smtp_user'] = '%u';
$config['smtp_pass'] = '%p';
$config['des_key'] = 'of-a-test-24-characters!';
$config['plugins'] = ['acl'];
$config['log_dir'] = '{folder}/logs/';
$config['temp_dir'] = '{folder}/temp/';
$config['imap_debug'] = true;
$config['smtp_debug'] = true;
$config['login_rate_limit'] = 100;
$config['skin'] = 'elastic';
$config['htmleditor'] = 0;
$config['draft_autosave'] = 0;
$config['language'] = 'en_US';
""")
        user = "www-data" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
        for path in folder.rglob("*"):
            if not path.is_symlink():
                shutil.chown(path, user)
        socket = folder / "php.sock"
        (folder / "php-fpm.conf").write_text(f"""
[global]
error_log = {folder}/php-fpm.log
daemonize = no

[roundcube]
user = {user}
listen = {socket}
listen.owner = {user}
pm = static
pm.max_children = 3
clear_env = yes
catch_workers_output = yes
env[ROUNDCUBE_CONFIG_DIR] = {folder}/config
php_admin_value[session.save_path] = {folder}/temp
php_admin_value[upload_tmp_dir] = {folder}/temp
php_admin_value[error_log] = {folder}/logs/php.log
""")
        (folder / "nginx.conf").write_text(f"""
{f"user {user};" if os.geteuid() == 0 else ""}
daemon off;
worker_processes 1;
pid {folder}/nginx/pid;
error_log {folder}/nginx/error.log;
events {{ worker_connections 256; }}
http {{
    include /etc/nginx/mime.types;
    access_log {folder}/nginx/access.log;
    client_body_temp_path {folder}/nginx/body;
    fastcgi_temp_path {folder}/nginx/fastcgi;
    proxy_temp_path {folder}/nginx/proxy;
    scgi_temp_path {folder}/nginx/scgi;
    uwsgi_temp_path {folder}/nginx/uwsgi;
    client_max_body_size 50m;
    server {{
        listen 127.0.0.1:{self.port};
        root {PACKAGE}/public_html;
        index index.php;
        location ~ \\.php(/|$) {{
            fastcgi_split_path_info ^(.+\\.php)(/.*)$;
            include /etc/nginx/fastcgi_params;
            fastcgi_param SCRIPT_FILENAME $document_root$fastcgi_script_name;
            fastcgi_param PATH_INFO $fastcgi_path_info;
            fastcgi_pass unix:{socket};
        }}
    }}
}}
""")
        self.processes = []

    def __enter__(self):
        fpm = next(iter(sorted(pathlib.Path("/usr/sbin").glob("php-fpm*"))), None)
        assert fpm, "php-fpm is not installed; .ci/test --full installs it"
        with open(self.folder / "start.log", "wb") as log:
            for command in ([fpm, "-F", "-y", self.folder / "php-fpm.conf"],
                            [need("nginx"), "-c", self.folder / "nginx.conf", "-e", self.folder / "nginx/error.log"]):
                self.processes.append(subprocess.Popen(command, stdout=log, stderr=log))
        wait_until(self.answers, 30)
        return self

    def __exit__(self, *_):
        for process in reversed(self.processes):
            process.terminate()
            process.wait(timeout=30)

    def answers(self):
        try:
            with urllib.request.urlopen(self.address, timeout=20) as page:
                return b"Roundcube" in page.read()
        except (urllib.error.URLError, ConnectionError):
            assert all(process.poll() is None for process in self.processes), (self.folder / "start.log").read_text()
            return False

    def errors(self):
        """What it logged as an error, but for wrong passwords."""
        log = self.folder / "logs/errors.log"
        lines = log.read_text().splitlines() if log.exists() else []
        return [line for line in lines if "Login failed for" not in line]
