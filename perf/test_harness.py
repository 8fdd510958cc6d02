"""Tests of what perf/run computes: `python3 -m unittest perf/test_harness.py`."""

import collections
import hashlib
import pathlib
import re
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from harness import cores, memory, micro, plot, report
from harness.populate import Messages
from harness.results import Results
from harness.single import found, hash_of_literals


class Computations(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.results = Results(self.folder / "results.json")

    def add(self, server, key, *rounds):
        for number, value in enumerate(rounds):
            self.results.add(server, {key: value}, number)

    def test_a_ratio_is_to_the_better_layout_and_round_by_round(self):
        self.add("ringpost", "deliver-8", 500, 800, 600)
        self.add("dovecot sdbox", "deliver-8", 100, 100, 200)
        self.add("dovecot maildir", "deliver-8", 10, 10, 10)
        self.assertEqual(self.results.ratio("deliver-8"), (5, 3, 8))
        self.assertTrue(self.results.verdict("deliver-8"))

    def test_of_times_the_shorter_is_better(self):
        self.add("ringpost", "select-warm", 2.0)
        self.add("dovecot sdbox", "select-warm", 1.0)
        self.add("dovecot maildir", "select-warm", 9.0)
        self.assertEqual(self.results.ratio("select-warm"), (0.5, 0.5, 0.5))
        self.assertFalse(self.results.verdict("select-warm"))

    def test_limits_are_met_from_below_and_shards_from_above(self):
        self.results.add("ringpost", {"idle-plain": 12.1, "disk": 0.75, "shards-deliver": 1.69, "shards-fetch": 1.8})
        verdicts = [self.results.verdict(key) for key in ("idle-plain", "disk", "shards-deliver", "shards-fetch", "logins")]
        self.assertEqual(verdicts, [False, True, False, True, None])

    def test_what_was_measured_is_there_in_the_next_piece(self):
        self.add("ringpost", "deliver-8", 1.0, 3.0)
        self.results.fail("ringpost", "search", "no answer")
        self.results.save()
        again = Results(self.results.path)
        self.assertEqual(again.median("ringpost", "deliver-8"), 2.0)
        again.add("ringpost", {"deliver-8": 5.0}, 1)
        self.assertEqual(again.median("ringpost", "deliver-8"), 3.0)
        self.assertIn("no answer", report.whole(again))

    def test_the_time_a_core_was_held_is_gathered_over_all_cores_and_starts(self):
        def metrics(low, high):
            return {'ringpost_poll_seconds_bucket{shard="0",le="0.001"}': low,
                    'ringpost_poll_seconds_bucket{shard="1",le="0.001"}': low,
                    'ringpost_poll_seconds_bucket{shard="0",le="+Inf"}': high,
                    'ringpost_poll_seconds_bucket{shard="1",le="+Inf"}': high,
                    'ringpost_longest_stall_seconds{shard="1"}': 0.02}
        gathered = {"buckets": {}, "longest": 0.0}
        cores.add_held(gathered, metrics(5000, 5000))
        cores.add_held(gathered, metrics(4999, 5000))
        self.assertEqual(cores.held_result(gathered), {"held-p999": 1.0, "held-longest": 20.0})

    def test_the_content_of_an_answer_is_hashed_and_nothing_else(self):
        answer = b"* 1 FETCH (BODY[] {5}\r\nab{3})\r\n* 2 FETCH (BODY[] {2}\r\n\r\n)\r\nt OK done\r\n"
        self.assertEqual(hash_of_literals(answer), hashlib.sha256(b"ab{3}\r\n").hexdigest())

    def test_numbers_of_a_search_are_counted(self):
        self.assertEqual(found(b"* 3 EXISTS\r\n* SEARCH 1 20 300\r\nt1 OK done\r\n"), 3)
        self.assertEqual(found(b"* THREAD (1 (2)(3 4))\r\nt1 OK done\r\n"), 4)
        self.assertEqual(found(b"* SEARCH\r\nt1 OK done\r\n"), 0)

    def test_messages_come_from_their_number_alone(self):
        first, again = Messages(2500, seed=4), Messages(2500, seed=4)
        for number in (0, 3, 7, 1009):
            message = first.message(number)
            self.assertEqual(message, again.message(number))
            self.assertEqual(message.count(b"\n"), message.count(b"\r\n"))
        self.assertIn(b"needle", first.message(107))
        self.assertNotEqual(first.message(1), Messages(2500, seed=5).message(1))

    def test_a_profile_is_read(self):
        profile = self.folder / "profile"
        profile.write_text("fn=(1) work\n1 20\ncfn=(2) mi_malloc_aligned\ncalls=3 0\n1 30\ncfn=(2)\ncalls=4 0\n1 5\n"
                           "cfn=(3) mi_free\ncalls=7 0\n1 2\ntotals: 57\n")
        self.assertEqual(micro.read(profile), (57, 7))

    def test_an_address_has_as_many_connections_as_it_has_ports(self):
        addresses = collections.Counter(memory.source_address(number)[0] for number in range(50_000))
        self.assertLessEqual(max(addresses.values()), 28_000)
        self.assertEqual(addresses["127.0.0.1"], 20_000)

    def test_a_plot_holds_every_line(self):
        path = self.folder / "plot.svg"
        plot.lines(path, "A title", "x", "y", {"one": [(10, 1), (1000, 20)], "two": [(10, 3)]})
        text = path.read_text()
        self.assertEqual(text.count("<polyline"), 2)
        self.assertIn("A title", text)

    def test_no_two_lines_of_a_plot_have_one_colour(self):
        path = self.folder / "plot.svg"
        plot.lines(path, "A title", "x", "y", {str(number): [(10, 1)] for number in range(8)})
        self.assertEqual(len(set(re.findall('polyline.*stroke="(#[^"]*)"', path.read_text()))), 8)


if __name__ == "__main__":
    unittest.main()
