//! The program's own pages, which a start does not need and the first requests do.
//!
//! A core that comes to code that is not in the page cache waits for the disk; and where the code is there because the
//! kernel read ahead, one of its pages says "read on", and whoever comes to it prepares the next piece: up to 8 MiB, 0.9
//! ms on the core, in the middle of a request. Which request that is, chance decides: how the linker has put the functions.
//! So a thread reads all of it while the server starts. It stays in the page cache; only what is used becomes resident.

use std::{
    fs::{self, File},
    io,
    os::{fd::AsRawFd, unix::fs::FileExt},
    path::Path,
    thread,
};

use crate::sys;

/// The program, whatever its name is by now.
const PROGRAM: &str = "/proc/self/exe";
/// What of it is mapped: the rest are symbols for debuggers.
const MAPPINGS: &str = "/proc/self/maps";
/// More than the program has; whoever has more reads it as it is used.
const PROGRAM_MAX: u64 = 64 << 20;
/// It is read in pieces of this size.
const PIECE: usize = 256 * 1024;

/// Reads the program into the page cache, on a thread of its own. Call it at the start; nobody is told if it can't be done.
pub fn read_program_ahead() {
    let reading = thread::Builder::new().name("program".to_owned()).spawn(|| {
        if let Err(error) = read_mapped() {
            tracing::debug!("the program can't be read ahead: {error}");
        }
    });
    drop(reading);
}

/// Reads what is mapped of the program; how much that was.
fn read_mapped() -> io::Result<u64> {
    let bytes = mapped_bytes(&fs::read_to_string(MAPPINGS)?, &fs::read_link(PROGRAM)?).min(PROGRAM_MAX);
    let file = File::open(PROGRAM)?;
    sys::will_need(file.as_raw_fd(), bytes);
    // Reading also takes the marks away that say "read on".
    let mut piece = vec![0; PIECE];
    let mut at = 0;
    while at < bytes {
        let read = file.read_at(&mut piece, at)?;
        if read == 0 {
            break;
        }
        at += read as u64;
    }
    Ok(at)
}

/// Where the last mapping of `program` ends in its file. A line is: addresses, rights, offset, device, inode, path
/// (proc(5)).
fn mapped_bytes(mappings: &str, program: &Path) -> u64 {
    let end = |line: &str| -> Option<u64> {
        let mut fields = line.split_ascii_whitespace();
        let (begin, end) = fields.next()?.split_once('-')?;
        let offset = fields.nth(1)?;
        let path = line.find('/').map(|at| Path::new(&line[at..]))?;
        let number = |text| u64::from_str_radix(text, 16).ok();
        let length = number(end)?.checked_sub(number(begin)?)?;
        (path == program).then_some(number(offset)?.checked_add(length)?)
    };
    mappings.lines().filter_map(end).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_what_is_mapped_is_found() {
        let mappings = "55e2990bd000-55e29945b000 r--p 00000000 fe:00 123 /usr/bin/the server\n\
             55e29945b000-55e299fa3000 r-xp 0039d000 fe:00 123 /usr/bin/the server\n\
             7f70e1200000-7f70e1300000 r-xp 99900000 fe:00 77 /usr/lib/libc.so.6\n\
             20000000000-20040000000 rw-p 00000000 00:00 0\n\
             7ffd1000-7ffd2000 rw-p 00000000 00:00 0 [stack]\nnonsense\n";
        let program = Path::new("/usr/bin/the server");
        assert_eq!(mapped_bytes(mappings, program), 0x0039_d000 + 0x00b4_8000);
        assert_eq!(mapped_bytes(mappings, Path::new("/usr/bin/another")), 0);
        assert_eq!(mapped_bytes("", program), 0);
    }

    #[test]
    fn all_of_the_program_that_is_mapped_is_read() {
        let length = fs::metadata(PROGRAM).unwrap().len();
        let read = read_mapped().unwrap();
        assert!(read > 1 << 20 && read <= length, "{read} of {length}");
    }
}
