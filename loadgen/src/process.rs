//! What this process may use, and what it used.

use std::time::Duration;

use anyhow::{Context, Result};
use rustix::{
    process::{Resource, Rlimit, getrlimit, setrlimit},
    thread::{sched_getaffinity, sched_getcpu, sched_setaffinity},
};

/// Descriptors besides connections: standard streams, epoll, output files, cores.
const OTHER_DESCRIPTORS: u64 = 64;

/// Every connection is a descriptor, and few systems let a process have tens of thousands without asking.
pub(crate) fn raise_descriptor_limit(connections: u64) -> Result<()> {
    let wanted = connections + OTHER_DESCRIPTORS;
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= wanted) {
        return Ok(());
    }
    let maximum = limit.maximum.map(|maximum| maximum.max(wanted));
    let raised = setrlimit(
        Resource::Nofile,
        Rlimit {
            current: Some(wanted),
            maximum,
        },
    );
    raised.with_context(|| {
        format!(
            "{connections} connections need {wanted} descriptors, and the limit is {}: raise `ulimit -n`",
            limit.maximum.unwrap_or(0)
        )
    })
}

/// Processor time of this thread so far; zero where the kernel does not count it.
pub(crate) fn thread_time() -> Duration {
    let counted = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let time = counted.split(' ').next().and_then(|time| time.parse().ok());
    Duration::from_nanos(time.unwrap_or(0))
}

/// Moves this thread to another processor than the one it is on, if it may use another.
pub(crate) fn go_elsewhere() {
    let Ok(allowed) = sched_getaffinity(None) else {
        return;
    };
    let mut others = allowed;
    others.unset(sched_getcpu());
    // It can't be refused both: what was allowed before is allowed now, and nothing is no set.
    if others.count() > 0 && sched_setaffinity(None, &others).is_ok() {
        let _ = sched_setaffinity(None, &allowed);
    }
}

/// User and system time of this process.
pub(crate) fn own_cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The second field is a name in parentheses, which may hold blanks.
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap_or("")
        .split_ascii_whitespace()
        .collect();
    let ticks = |place: usize| {
        fields
            .get(place)
            .and_then(|field| field.parse::<f64>().ok())
            .unwrap_or(0.0)
    };
    // proc(5): utime and stime are fields 14 and 15, in hundredths of a second on Linux.
    (ticks(11) + ticks(12)) / 100.0
}
