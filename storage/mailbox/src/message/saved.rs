//! When a message came into its folder: by delivery, APPEND, copy, move or restoring (RFC 8514 §3).
//!
//! The column `saved` has the whole seconds from `received` to it. For what is delivered that is 0 or 1, which
//! SQLite stores in no byte at all; NULL is not known (messages of schema 3 and earlier).

use ringpost_mapi::FileTime;

/// Ticks of a FILETIME in a second.
const SECOND: i64 = 10_000_000;

/// The column for a message that is saved now.
pub(crate) fn saved_now(received: FileTime) -> i64 {
    seconds(FileTime::now()) - seconds(received)
}

/// Now, as the SQL that makes the column of a row's `received` takes it: `?n - received / 10000000`.
pub(crate) fn now_seconds() -> i64 {
    seconds(FileTime::now())
}

/// When the message was saved, to the second.
pub(crate) fn saved_at(received: FileTime, column: Option<i64>) -> Option<FileTime> {
    let since_1601 = seconds(received).checked_add(column?)?;
    let ticks = since_1601.checked_mul(SECOND)?;
    Some(FileTime(u64::try_from(ticks).ok()?))
}

/// Divides as SQLite does.
fn seconds(time: FileTime) -> i64 {
    time.0 as i64 / SECOND
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_column_is_a_distance() {
        let received = FileTime::from_unix_seconds(837_592_345);
        let column = saved_now(received);
        let saved = saved_at(received, Some(column)).unwrap();
        assert!((FileTime::now().unix_seconds() - saved.unix_seconds()).abs() <= 1);
        assert_eq!(saved_at(received, None), None);
        assert_eq!(saved_at(received, Some(i64::MAX)), None);
        assert_eq!(saved_at(received, Some(i64::MIN)), None);
        // A delivery time that a client made up.
        let odd = FileTime(u64::MAX - 5);
        let saved = saved_at(odd, Some(saved_now(odd))).unwrap();
        assert!((FileTime::now().unix_seconds() - saved.unix_seconds()).abs() <= 1);
        assert_eq!(saved_now(FileTime::now()), 0, "costs no byte");
    }
}
