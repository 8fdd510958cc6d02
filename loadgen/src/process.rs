//! What this process may use, and what it used.

use anyhow::{Context, Result};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

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
