"""RESULTS.md: the table, and what stands around it."""

from .results import Results
from .table import ALL, AT_LEAST, SECTIONS

TEXTS = (("counts", "System calls, syncs and allocations"), ("micro", "Instructions of hot paths"),
         ("growth", "Cost as work grows"))


def whole(results: Results):
    """RESULTS.md."""
    out = ["# What was measured", "", "Written by `perf/run`. What was found on the way: `NOTES.md`.", "",
           *(f"- {name}: {value}" for name, value in results.facts.items()),
           "- Server and load share all cores. The load is closed loop unless a row says otherwise; all answers are checked.",
           "- ringpost has its defaults (`peers/ringpost.cfg`), Dovecot is set up for speed (`peers/dovecot.conf`), both with",
           "  acknowledged mail durable and the same password hash. Dovecot syncs saved mail and no flag changes",
           "  (`mail_fsync = optimized`); ringpost syncs both.",
           "- Numbers are medians of the rounds, in which the servers take turns; a ratio is to the better of Dovecot's",
           "  layouts, round by round; above 1, ringpost is better.",
           "", f"**{summary(results)}.**", "", "## The table", *lines(results)]
    for key, title in TEXTS:
        if key in results.texts:
            out += ["", f"## {title}", "", *results.texts[key]]
    return "\n".join(out) + "\n"


def number(value):
    if value is None:
        return "–"
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def target(row):
    if row.key in AT_LEAST:
        return f"≥ {AT_LEAST[row.key]}"
    if row.limit is not None:
        return f"≤ {row.limit:g} {row.unit}"
    if row.ratio is None:
        return ""
    return "never slower" if row.ratio == 1 else f"≥ {row.ratio:g} ×"


def lines(results: Results, sections=SECTIONS):
    """The table as Markdown."""
    peers = results.peers()
    out = []
    for title, rows in sections:
        measured = [row for row in rows if any(results.median(s, row.key) is not None for s in results.values)]
        if not measured:
            continue
        out += ["", f"### {title}", "", "| what | ringpost | " + " | ".join(peers) + " | ratio (least to most) | must reach | |",
                "|---|---:|" + "---:|" * len(peers) + "---|---|---|"]
        for row in measured:
            values = [number(results.median(server, row.key)) for server in ["ringpost", *peers]]
            ratio = results.ratio(row.key)
            shown = f"{ratio[0]:.2f} ({ratio[1]:.2f} to {ratio[2]:.2f})" if ratio else ""
            verdict = {True: "reached", False: "**missed**", None: ""}[results.verdict(row.key)]
            out.append(f"| {row.what}, {row.unit} | {' | '.join(values)} | {shown} | {target(row)} | {verdict} |")
    if results.failures:
        out += ["", "Not measured, with what was said:", ""] + [f"- {failure}" for failure in results.failures]
    return out


def summary(results: Results):
    """One line: how many rows reached what they must."""
    verdicts = [results.verdict(key) for key in ALL]
    return (f"{verdicts.count(True)} of {verdicts.count(True) + verdicts.count(False)} rows with something to reach "
            f"reached it")
