//! Hashing and verifying passwords.
//!
//! New hashes are argon2id. What an existing installation brings along is verified: bcrypt (`$2a$`, `$2b$`,
//! `$2y$`) and the crypt(5) formats `$1$`, `$5$`, `$6$` and `$y$`. Every function here takes tens of
//! milliseconds of processor time, by intent: helper threads only.

use argon2::{Algorithm, Argon2, Params, Version};
use argon2::{
    PasswordHasher, PasswordVerifier,
    password_hash::{self, phc::PasswordHash},
};
use pwhash::md5_crypt;
use sha_crypt::ShaCrypt;
use yescrypt::Yescrypt;

/// Octets of a password that are looked at; a longer one is refused.
pub const PASSWORD_MAX: usize = 1024;
/// Octets of a hash.
pub const HASH_MAX: usize = 512;
/// Highest bcrypt cost that is verified: two to the power of it rounds. 16 takes seconds.
pub const BCRYPT_COST_MAX: u32 = 16;
/// Most rounds of `$5$` and `$6$` that are verified.
pub const SHA_ROUNDS_MAX: u32 = 2_000_000;
/// Most memory that argon2 may take, in KiB.
pub const ARGON2_MEMORY_KIB_MAX: u32 = 256 * 1024;
/// Most passes of argon2.
pub const ARGON2_PASSES_MAX: u32 = 64;
/// Highest first parameter of `$y$` (crypt(5) calls it the cost): memory doubles with each.
const YESCRYPT_PARAMETER_MAX: &str = "jDT";

/// What new hashes cost: OWASP's first choice for argon2id (19 MiB, two passes, one lane).
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;

/// Why a password can't be hashed or checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PasswordError {
    /// It is empty.
    #[error("an empty password is not allowed")]
    Empty,
    /// It is longer than [`PASSWORD_MAX`].
    #[error("longer than {PASSWORD_MAX} octets")]
    TooLong,
    /// The stored hash is of no format known here, damaged, or more costly than the limits allow.
    #[error("the stored hash is of an unknown format, damaged, or too costly to check")]
    UnusableHash,
    /// The system gave no random numbers, or no memory.
    #[error("no random numbers or memory")]
    Unavailable,
}

/// Hashes with argon2id and a new salt.
pub fn hash(password: &str) -> Result<String, PasswordError> {
    if password.is_empty() {
        return Err(PasswordError::Empty);
    }
    if password.len() > PASSWORD_MAX {
        return Err(PasswordError::TooLong);
    }
    let mut salt = [0u8; 16];
    getrandom::fill(&mut salt).map_err(|_| PasswordError::Unavailable)?;
    let parameters = Params::new(MEMORY_KIB, PASSES, 1, None).map_err(|_| PasswordError::Unavailable)?;
    let hash: PasswordHash = Argon2::new(Algorithm::Argon2id, Version::V0x13, parameters)
        .hash_password_with_salt(password.as_bytes(), &salt)
        .map_err(|_| PasswordError::Unavailable)?;
    Ok(hash.to_string())
}

/// Whether `password` is the one that `hash` was made of. The final comparison takes constant time.
///
/// Where there is no memory to tell, that is said ([`PasswordError::Unavailable`]): nobody may be called a liar, and
/// banned in the end, because the server is short of it.
pub fn verify(password: &str, hash: &str) -> Result<bool, PasswordError> {
    let scheme = check_format(hash)?;
    // crypt(3) formats end a password at NUL; none that has one was ever hashed by them.
    if password.is_empty() || password.len() > PASSWORD_MAX || password.contains('\0') {
        return Ok(false);
    }
    let bytes = password.as_bytes();
    match scheme {
        Scheme::Argon2 => {
            let parsed = PasswordHash::new(hash).map_err(|_| PasswordError::UnusableHash)?;
            match Argon2::default().verify_password(bytes, &parsed) {
                Ok(()) => Ok(true),
                Err(password_hash::Error::OutOfMemory) => Err(PasswordError::Unavailable),
                Err(_) => Ok(false),
            }
        }
        Scheme::Bcrypt => bcrypt::verify(bytes, hash).map_err(|_| PasswordError::UnusableHash),
        Scheme::Md5 => Ok(md5_crypt::verify(bytes, hash)),
        Scheme::Sha => {
            let parsed = sha_crypt::PasswordHashRef::new(hash).map_err(|_| PasswordError::UnusableHash)?;
            Ok(ShaCrypt::default().verify_password(bytes, parsed).is_ok())
        }
        Scheme::Yescrypt => {
            // The crate ends the process where it gets no memory.
            let mut room: Vec<u8> = Vec::new();
            room.try_reserve_exact(yescrypt_bytes(hash))
                .map_err(|_| PasswordError::Unavailable)?;
            drop(room);
            Ok(Yescrypt::default().verify_password(bytes, hash).is_ok())
        }
    }
}

/// Memory that checking a `$y$` hash takes: 128 · N · r octets, of which the second and third letter of the
/// parameters tell log2 N - 1 and r - 1.
fn yescrypt_bytes(hash: &str) -> usize {
    const LETTERS: &str = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let value = |at: usize| {
        let letter = hash.get(at..=at)?;
        LETTERS.find(letter)
    };
    match (value(4), value(5)) {
        (Some(log), Some(blocks)) => (128 * (blocks + 1)).saturating_mul(1 << (log + 1).min(30)),
        _ => 0,
    }
}

/// How a hash was made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scheme {
    /// argon2id, argon2i or argon2d (RFC 9106).
    Argon2,
    /// bcrypt.
    Bcrypt,
    /// `$1$`
    Md5,
    /// `$5$` and `$6$`
    Sha,
    /// `$y$`
    Yescrypt,
}

/// Tells a hash's scheme, and refuses one that is damaged or would take too long: an empty last field, for
/// instance, which a comparison over its length would find equal to everything.
pub fn check_format(hash: &str) -> Result<Scheme, PasswordError> {
    recognise(hash).ok_or(PasswordError::UnusableHash)
}

fn recognise(hash: &str) -> Option<Scheme> {
    // Control characters in a salt overflow a subtraction in the crate that reads it.
    if hash.len() > HASH_MAX || !hash.bytes().all(|byte| byte.is_ascii_graphic()) {
        return None;
    }
    let fields: Vec<&str> = hash.strip_prefix('$')?.split('$').collect();
    let is_crypt64 = |text: &str, length: usize| {
        text.len() == length
            && text
                .bytes()
                .all(|c| c.is_ascii_alphanumeric() || c == b'.' || c == b'/')
    };
    match fields.as_slice() {
        ["argon2id" | "argon2i" | "argon2d", ..] => {
            let parsed = PasswordHash::new(hash).ok()?;
            let parameters = Params::try_from(&parsed).ok()?;
            let bounded =
                parameters.m_cost() <= ARGON2_MEMORY_KIB_MAX && parameters.t_cost() <= ARGON2_PASSES_MAX;
            (bounded && parsed.hash.is_some_and(|output| output.len() >= 16)).then_some(Scheme::Argon2)
        }
        ["2a" | "2b" | "2y", cost, rest] => {
            let cost: u32 = cost.parse().ok()?;
            ((4..=BCRYPT_COST_MAX).contains(&cost) && is_crypt64(rest, 53)).then_some(Scheme::Bcrypt)
        }
        ["1", salt, sum] => (salt.len() <= 8 && is_crypt64(sum, 22)).then_some(Scheme::Md5),
        ["5", rest @ .., sum] if is_crypt64(sum, 43) => sha_settings(rest),
        ["6", rest @ .., sum] if is_crypt64(sum, 86) => sha_settings(rest),
        ["y", parameters, salt, sum] => {
            // Cost letters are ordered as in ASCII; only parameters of three letters are in use.
            let bounded =
                parameters.len() == 3 && parameters.as_bytes()[1] <= b'D' && parameters.starts_with('j');
            (bounded && *parameters <= YESCRYPT_PARAMETER_MAX && salt.len() <= 86 && is_crypt64(sum, 43))
                .then_some(Scheme::Yescrypt)
        }
        _ => None,
    }
}

fn sha_settings(fields: &[&str]) -> Option<Scheme> {
    let (rounds, salt) = match fields {
        [salt] => (5000, *salt),
        [rounds, salt] => (rounds.strip_prefix("rounds=")?.parse().ok()?, *salt),
        _ => return None,
    };
    ((1000..=SHA_ROUNDS_MAX).contains(&rounds) && salt.len() <= 16).then_some(Scheme::Sha)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_salt_of_control_characters_is_refused() {
        // Found by fuzzing.
        assert!(check_format("$1$ab\0\u{11}\0\0gh$bVo2O2/zpxBPLaG64PSCs/").is_err());
    }

    /// Made by libxcrypt's crypt(3), which is what filled the databases that are taken over.
    const KNOWN: &[(&str, &str)] = &[
        (
            "demo",
            "$y$j9T$abcdefgh$IvrO6nupgvJA4VrX/l3Zwo705kSQkQRYaBRwupvsSB8",
        ),
        (
            "demo",
            "$2b$05$abcdefghijklmnopqrstuupHpIXcOJo1NoZgX.hjwSF2SVi6yU1wa",
        ),
        (
            "demo",
            "$2y$05$abcdefghijklmnopqrstuupHpIXcOJo1NoZgX.hjwSF2SVi6yU1wa",
        ),
        (
            "demo",
            "$2a$05$abcdefghijklmnopqrstuupHpIXcOJo1NoZgX.hjwSF2SVi6yU1wa",
        ),
        ("demo", "$1$abcdefgh$bVo2O2/zpxBPLaG64PSCs/"),
        ("demo", "$5$abcdefgh$K2kpdGUiLnzoEX7YTyZFDrd4y8JzR4QHPqDM8sqpUc4"),
        (
            "demo",
            "$6$abcdefgh$YyrQeFbGiXKdFWP1HCOzoP98lGOJT3o5vkaIf4qMuSiGF1QU7Z/4JRNxv5cCm90HIZgemX3wm8UCkgoQqsyRQ.",
        ),
        (
            "demo",
            "$5$rounds=1000$saltsaltsaltsalt$GZ7hsEURJUeouDhzAUEHzuYDpxVS2r5KIKxrp1klnsB",
        ),
        (
            "demo",
            "$6$rounds=10000$ab$4yT0rn/wyxjByv9ot9MdyVXvC0iFpTKND3GgRah6lDZ9rKCU76Su47Vhzr31mODobjLHILnY7MUOoqWaqXfUe0",
        ),
        (
            "Grüße, Welt! Grüße, Welt! Grüße, Welt! ",
            "$y$j9T$LdJMENpBABJJ3hIHjB1Bi.$yhDTwNkj2oW6H9x8IUrt2tpj7XKHPpkejmND9YXNt/C",
        ),
        (
            "Grüße, Welt! Grüße, Welt! Grüße, Welt! ",
            "$2b$06$zyxwvutsrqponmlkjihgfeNscpzz6YJEXV.kqw0cfwlotdsGJhlmi",
        ),
        (
            "Grüße, Welt! Grüße, Welt! Grüße, Welt! ",
            "$1$ab$pLGILMkl6s93AMfUV37mR/",
        ),
        (
            "Grüße, Welt! Grüße, Welt! Grüße, Welt! ",
            "$5$q.w/e$UL5kjGdW6JtSTNuZLAmnVTUldCt.FOltpqhXr3q7B03",
        ),
        (
            "Grüße, Welt! Grüße, Welt! Grüße, Welt! ",
            "$6$wxyz1234wxyz1234$JLwMv3Que47y8tEZ65GUlMyJDq.aMHOL57kZN5sz23qoQP6R8BHY9mzI5Zv0z5UaMbGA8qyhz7nZeY8eVQ1Hc.",
        ),
    ];

    #[test]
    fn verifies_what_libxcrypt_made() {
        for (password, hash) in KNOWN {
            assert_eq!(verify(password, hash), Ok(true), "{hash}");
            assert_eq!(verify(&format!("{password}x"), hash), Ok(false), "{hash}");
            assert_eq!(verify("", hash), Ok(false), "{hash}");
            assert_eq!(verify(&format!("{password}\0x"), hash), Ok(false), "{hash}");
        }
    }

    #[test]
    fn want_of_memory_is_not_a_wrong_password() {
        const CHILD: &str = "RINGPOST_PASSWORD_TEST_CHILD";
        const LIMIT_KIB: u32 = 256 * 1024;
        // Each takes as much as the whole process may.
        let salted = "c29tZXNhbHQ$qqT6k4xYxc4IKWHY0nEqDWrDPxJ0rnPq9NQL3Cd0RPM";
        let hashes = [
            format!("$argon2id$v=19$m={LIMIT_KIB},t=1,p=1${salted}"),
            format!("$y$jDT$abcdefgh${}", "a".repeat(43)),
        ];
        assert_eq!(yescrypt_bytes(&hashes[1]), LIMIT_KIB as usize * 1024);
        assert_eq!(yescrypt_bytes("$y$j9T$abcdefgh$"), 16 * 1024 * 1024);
        if std::env::var_os(CHILD).is_some() {
            for hash in hashes {
                assert_eq!(
                    verify("password", &hash),
                    Err(PasswordError::Unavailable),
                    "{hash}"
                );
            }
            return;
        }
        let own = std::env::current_exe().unwrap();
        let run = format!(
            "ulimit -v {LIMIT_KIB}; exec '{}' --exact password::tests::want_of_memory_is_not_a_wrong_password",
            own.display()
        );
        let mut shell = std::process::Command::new("sh");
        let output = shell.arg("-c").arg(run).env(CHILD, "1").output().unwrap();
        let shown = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && shown.contains("1 passed"), "{shown}");
    }

    #[test]
    fn own_hashes_are_argon2id_with_a_new_salt() {
        let first = hash("päss word").unwrap();
        let second = hash("päss word").unwrap();
        assert!(first.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{first}");
        assert_ne!(first, second);
        assert_eq!(verify("päss word", &first), Ok(true));
        assert_eq!(verify("pass word", &first), Ok(false));
        assert_eq!(hash(""), Err(PasswordError::Empty));
        assert_eq!(hash(&"x".repeat(PASSWORD_MAX + 1)), Err(PasswordError::TooLong));
        let longest = "x".repeat(PASSWORD_MAX);
        assert_eq!(verify(&longest, &hash(&longest).unwrap()), Ok(true));
    }

    #[test]
    fn refuses_damaged_and_costly_hashes() {
        let sum43 = "a".repeat(43);
        let argon2 = |memory: u32, passes: u32| {
            format!(
                "$argon2id$v=19$m={memory},t={passes},p=1$c29tZXNhbHQ$qqT6k4xYxc4IKWHY0nEqDWrDPxJ0rnPq9NQL3Cd0RPM"
            )
        };
        assert!(check_format(&argon2(19456, 2)).is_ok());
        for hash in [
            String::new(),
            "plain".to_owned(),
            "!".to_owned(),
            "$".to_owned(),
            "$y$j9T$abcdefgh$".to_owned(),
            "$6$abcdefgh$".to_owned(),
            format!("$5$rounds={}$abc${sum43}", SHA_ROUNDS_MAX + 1),
            format!("$5$rounds=1$abc${sum43}"),
            format!("$y$jFT$abc${sum43}"),
            format!("$y$jzzz$abc${sum43}"),
            format!("$2b${}${}", BCRYPT_COST_MAX + 1, "a".repeat(53)),
            argon2(ARGON2_MEMORY_KIB_MAX + 1, 2),
            argon2(19456, ARGON2_PASSES_MAX + 1),
            "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHQ$".to_owned(),
            "$9$what$ever".to_owned(),
            "x".repeat(HASH_MAX + 1),
        ] {
            assert_eq!(
                verify("password", &hash),
                Err(PasswordError::UnusableHash),
                "{hash}"
            );
        }
    }
}
