"""What perf/run is made of: servers, clients, the rows of the table, and the report.

- servers: starts ringpost and Dovecot on data folders of their own, and asks the kernel what they use
- mail: a small IMAP and POP3 client for one connection; it counts what it gets and checks every answer
- load: runs the `loadgen` binary and reads its results
- populate: mailboxes that are the same for every server
- rows: one class a row of the table
- counts, micro, growth: system calls and allocations; instructions of hot paths; cost as work grows
- report, plot: RESULTS.md and its pictures
"""
