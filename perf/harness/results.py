"""What was measured, by server and row; ratios with their spread."""

import json
import statistics

from .table import ALL, AT_LEAST


class Results:
    """Kept in a file, so that a campaign can go on in pieces."""

    def __init__(self, path):
        self.path = path
        saved = json.loads(path.read_text()) if path.exists() else {}
        # server → key → round → value
        self.values = saved.get("values", {})
        self.failures = saved.get("failures", [])
        self.facts = saved.get("facts", {})
        # Of the mailboxes' content, to compare what is read with what was put in.
        self.digests = saved.get("digests", {})
        # Upper bound in seconds → polls of tasks that took no longer; and the longest.
        self.held = saved.get("held", {"buckets": {}, "longest": 0.0})
        # Parts of the report that are no table of rows.
        self.texts = saved.get("texts", {})

    def add(self, server, measured, round=0):
        for key, value in measured.items():
            self.values.setdefault(server, {}).setdefault(key, {})[str(round)] = value

    def fail(self, server, row, why):
        self.failures.append(f"{server}, {row}: {why}")

    def median(self, server, key):
        rounds = self.values.get(server, {}).get(key)
        return statistics.median(rounds.values()) if rounds else None

    def spread(self, server, key):
        rounds = self.values.get(server, {}).get(key)
        return (min(rounds.values()), max(rounds.values())) if rounds else None

    def peers(self):
        return [server for server in self.values if server != "ringpost"]

    def better_peer(self, key):
        """The layout of Dovecot that did better, by its median."""
        lower = key in ALL and ALL[key].better == "lower"
        have = [(self.median(peer, key), peer) for peer in self.peers() if self.median(peer, key) is not None]
        return (min(have) if lower else max(have))[1] if have else None

    def ratio(self, key):
        """Times as good as the better peer: median, least and most of the rounds; None without a peer."""
        peer = self.better_peer(key)
        ours = self.values.get("ringpost", {}).get(key)
        if not peer or not ours:
            return None
        theirs = self.values[peer][key]
        lower = key in ALL and ALL[key].better == "lower"
        ratios = [theirs[n] / ours[n] if lower else ours[n] / theirs[n] for n in ours if n in theirs and ours[n] and theirs[n]]
        return (statistics.median(ratios), min(ratios), max(ratios)) if ratios else None

    def verdict(self, key):
        """True, False, or None where nothing must be reached or nothing was measured."""
        row, ours = ALL[key], self.median("ringpost", key)
        if ours is None:
            return None
        if key in AT_LEAST:
            return ours >= AT_LEAST[key]
        if row.limit is not None:
            return ours <= row.limit
        ratio = self.ratio(key)
        return None if row.ratio is None or ratio is None else ratio[0] >= row.ratio

    def save(self):
        names = ("values", "failures", "facts", "digests", "held", "texts")
        self.path.write_text(json.dumps({name: getattr(self, name) for name in names}, indent=1) + "\n")
