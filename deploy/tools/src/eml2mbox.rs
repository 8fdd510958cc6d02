//! `gromox-eml2mbox`: messages in files of their own as one mbox.

use std::{
    ffi::{OsStr, OsString},
    fs,
    io::{self, BufRead as _, BufWriter, Read, Write},
    os::unix::ffi::OsStringExt as _,
    process::ExitCode,
};

use anyhow::Context as _;
use clap::{ArgAction, Parser};
use ringpost_convert::mbox;
use ringpost_mapi::FileTime;

use crate::command;

/// A message that is longer was not mail.
const MAX_MESSAGE_BYTES: u64 = 1 << 31;

/// Runs `gromox-eml2mbox`.
pub(crate) fn run(arguments: Vec<OsString>) -> ExitCode {
    command::run(arguments, |options: &Options| {
        let mut output = BufWriter::new(io::stdout().lock());
        convert(&options.files, &mut io::stdin().lock(), &mut output)?;
        output.flush().context("can't write the mbox")?;
        Ok(ExitCode::SUCCESS)
    })
}

/// Writes Internet messages as one Unix mbox to standard output
///
/// Without a file, standard input is a message.
#[derive(Parser, Debug)]
#[command(name = "gromox-eml2mbox", version, disable_help_flag = true)]
struct Options {
    /// Show this help
    #[arg(short = '?', long, action = ArgAction::Help)]
    help: Option<bool>,
    /// Files with one message each; "-": standard input has their names, one a line
    #[arg(value_name = "FILE")]
    files: Vec<OsString>,
}

fn convert(files: &[OsString], input: &mut impl io::BufRead, output: &mut impl Write) -> anyhow::Result<()> {
    if files.is_empty() {
        let message = read(input).context("can't read standard input")?;
        return append(&message, output);
    }
    for file in files {
        if file != "-" {
            append_file(file, output)?;
            continue;
        }
        for name in input.by_ref().split(b'\n') {
            let name = name.context("can't read standard input")?;
            if !name.is_empty() {
                append_file(&OsString::from_vec(name), output)?;
            }
        }
    }
    Ok(())
}

fn append_file(path: &OsStr, output: &mut impl Write) -> anyhow::Result<()> {
    let message = fs::File::open(path).and_then(|mut file| read(&mut file));
    let message = message.with_context(|| format!("can't read {}", path.display()))?;
    append(&message, output)
}

fn read(input: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut message = Vec::new();
    input.take(MAX_MESSAGE_BYTES + 1).read_to_end(&mut message)?;
    if message.len() as u64 > MAX_MESSAGE_BYTES {
        return Err(io::Error::other("it is longer than mail can be"));
    }
    Ok(message)
}

fn append(message: &[u8], output: &mut impl Write) -> anyhow::Result<()> {
    let mut entry = Vec::new();
    mbox::append(&mut entry, message, FileTime::now());
    output.write_all(&entry).context("can't write the mbox")
}

#[cfg(test)]
mod tests {
    use super::*;

    const MESSAGE: &str = "From: a@x.test\r\nDate: Thu, 1 Jan 1970 00:00:00 +0000\r\n\r\nhi\r\n";
    const ENTRY: &str = "From a@x.test Thu Jan  1 00:00:00 1970\nFrom: a@x.test\nDate: Thu, 1 Jan 1970 00:00:00 +0000\n\nhi\n\n";

    fn converted(files: &[OsString], input: &str) -> anyhow::Result<String> {
        let mut output = Vec::new();
        convert(files, &mut input.as_bytes(), &mut output)?;
        Ok(String::from_utf8(output)?)
    }

    #[test]
    fn one_message_from_standard_input() {
        assert_eq!(converted(&[], MESSAGE).unwrap(), ENTRY);
    }

    #[test]
    fn files_and_names_of_files() {
        let folder = tempfile::tempdir().unwrap();
        let paths: Vec<OsString> = ["1.eml", "2 b.eml"]
            .iter()
            .map(|name| folder.path().join(name).into_os_string())
            .collect();
        for path in &paths {
            fs::write(path, MESSAGE).unwrap();
        }
        assert_eq!(converted(&paths, "").unwrap(), ENTRY.repeat(2));
        let names: Vec<_> = paths.iter().map(|path| path.to_str().unwrap()).collect();
        let names = names.join("\n");
        assert_eq!(converted(&["-".into()], &names).unwrap(), ENTRY.repeat(2));
        let both = [paths[0].clone(), "-".into()];
        assert_eq!(
            converted(&both, &format!("{names}\n\n")).unwrap(),
            ENTRY.repeat(3)
        );
        let missing = folder.path().join("none.eml").into_os_string();
        let error = converted(&[missing], "").unwrap_err();
        assert!(format!("{error:#}").contains("none.eml"), "{error:#}");
    }

    /// What Python finds in it is what was written.
    #[test]
    fn python_reads_it() {
        let folder = tempfile::tempdir().unwrap();
        let messages = [
            "Subject: one\r\n\r\nFrom the start\r\n",
            "Subject: two\r\n\r\n>From\r\n\r\nFrom x@y Thu Jan  1 00:00:00 1970\r\n",
        ];
        let mut output = Vec::new();
        for message in messages {
            append(message.as_bytes(), &mut output).unwrap();
        }
        let path = folder.path().join("all.mbox");
        fs::write(&path, output).unwrap();
        let program = "import mailbox, sys\nfor m in mailbox.mbox(sys.argv[1]): print(m['subject'], repr(m.get_payload()))";
        let done = std::process::Command::new("python3")
            .args(["-c", program])
            .arg(&path)
            .output()
            .unwrap();
        let shown = String::from_utf8_lossy(&done.stdout);
        assert_eq!(
            shown,
            "one '>From the start\\n'\ntwo '>From\\n\\n>From x@y Thu Jan  1 00:00:00 1970\\n'\n",
            "{}",
            String::from_utf8_lossy(&done.stderr)
        );
    }
}
