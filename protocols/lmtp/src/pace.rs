//! How fast a message has to come. A client that sends a byte now and then is never silent for too long, and would hold
//! a connection and its message's memory for as long as it likes.

use std::time::{Duration, Instant};

/// Bytes a second that are expected of the slowest line.
pub const LEAST_RATE: u64 = 1024;
/// How long any message may take, besides what its bytes take at [`LEAST_RATE`]. RFC 5321 §4.5.3.2.5 lets a client take
/// three minutes for each block it sends; hardly any needs them twice.
pub const MESSAGE_TIME: Duration = Duration::from_mins(10);

/// A message on its way.
#[derive(Debug)]
pub(crate) struct Pace {
    begun: Instant,
    bytes: u64,
    grace: Duration,
}

impl Pace {
    /// A message that begins now, and may take `grace` for nothing.
    pub(crate) fn new(grace: Duration) -> Self {
        Self {
            begun: Instant::now(),
            bytes: 0,
            grace,
        }
    }

    /// Some bytes have come. Whether they came too late.
    pub(crate) fn is_too_slow(&mut self, bytes: usize) -> bool {
        self.bytes = self.bytes.saturating_add(bytes as u64);
        self.begun.elapsed() > self.allowed()
    }

    fn allowed(&self) -> Duration {
        self.grace + Duration::from_secs(self.bytes / LEAST_RATE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_buy_time() {
        let mut pace = Pace::new(MESSAGE_TIME);
        assert!(!pace.is_too_slow(100));
        assert_eq!(pace.allowed(), MESSAGE_TIME);
        assert!(!pace.is_too_slow(64 << 20));
        assert_eq!(pace.allowed(), MESSAGE_TIME + Duration::from_secs(65_536));
        let mut none = Pace::new(Duration::ZERO);
        std::thread::sleep(Duration::from_millis(1));
        assert!(none.is_too_slow(100));
        assert!(!none.is_too_slow(1024));
    }
}
