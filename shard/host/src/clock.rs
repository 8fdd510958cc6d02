//! The queue's time.

use std::{
    sync::LazyLock,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

static START: LazyLock<(Instant, u64)> = LazyLock::new(|| {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    (Instant::now(), now.map_or(0, |now| now.as_millis() as u64))
});

/// Milliseconds since 1970, as the clock says when this is first asked, and steady from then on: a clock that is set
/// back by a day keeps no message for a day, and one that is set forward by a month does not return those of an hour
/// ago as undeliverable.
pub fn steady_now_ms() -> u64 {
    let (start, since_1970) = &*START;
    since_1970.saturating_add(start.elapsed().as_millis() as u64)
}
