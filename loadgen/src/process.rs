//! What this process may use, and what it used.

use anyhow::{Context, Result};
use rustix::{
    process::{Resource, Rlimit, getrlimit, setrlimit},
    thread::{CpuSet, sched_getaffinity, sched_getcpu, sched_setaffinity},
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

/// Where a thread may run that must not be in the way of a server on the same machine.
///
/// A server's thread may be bound to the processor that this one is on while another is free. Who is woken is put on a
/// free one by the kernel, or beside the one who wakes him; who never sleeps stays where he is. So this thread finds out
/// where its answers come from, and keeps off that processor.
pub(crate) struct Processors {
    /// What this thread may use, as it was started.
    allowed: Option<CpuSet>,
    /// Answers that are not looked at, since it has just moved.
    settling: u32,
}

impl Processors {
    /// Answers after a move before the next one: were it not for good, moving would cost more than it wins.
    const SETTLING: u32 = 4;

    pub(crate) fn new() -> Self {
        Self {
            allowed: sched_getaffinity(None).ok(),
            settling: 0,
        }
    }

    /// An answer came from `processor`: if this thread is there it goes elsewhere, where it may, and stays.
    pub(crate) fn keep_off(&mut self, processor: usize) {
        if self.settling > 0 {
            self.settling -= 1;
        } else if sched_getcpu() == processor
            && let Some(mut others) = self.allowed
        {
            self.settling = Self::SETTLING;
            others.unset(processor);
            if others.count() > 0 {
                let _ = sched_setaffinity(None, &others);
            }
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_leaves_the_processor_that_answers_come_from() {
        // Of its own, so that no other test is moved.
        std::thread::spawn(|| {
            let allowed = sched_getaffinity(None).unwrap();
            let mut processors = Processors::new();
            for _ in 0..3 {
                let here = sched_getcpu();
                processors.keep_off(here);
                let may_use = sched_getaffinity(None).unwrap();
                if allowed.count() == 1 {
                    assert_eq!(may_use, allowed);
                    continue;
                }
                assert_ne!(sched_getcpu(), here);
                assert!(!may_use.is_set(here));
                assert_eq!(may_use.count(), allowed.count() - 1);
                // It has time to settle, and stays where answers come from elsewhere.
                for _ in 0..Processors::SETTLING {
                    processors.keep_off(sched_getcpu());
                }
                processors.keep_off(here);
                assert_eq!(sched_getaffinity(None).unwrap(), may_use);
            }
        })
        .join()
        .unwrap();
    }
}
