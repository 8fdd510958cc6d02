//! What the tools share: where the accounts are, and how a tool ends.

use std::{ffi::OsString, path::PathBuf, process::ExitCode, sync::Arc};

use anyhow::{Context as _, bail};
use clap::{Args, Parser};
use ringpost_config::{Configuration, Severity, Source, directive};
use ringpost_directory::Directory;

/// Which server's accounts.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Server {
    /// Read the configuration from this file instead of /etc/gromox
    #[arg(short = 'c', value_name = "CONFIG", conflicts_with = "data")]
    config: Option<PathBuf>,
    /// Use the accounts in this data folder, whatever the configuration says
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

impl Server {
    /// The accounts as they are now.
    pub(crate) fn directory(&self) -> anyhow::Result<Arc<dyn Directory>> {
        let folder = self.data_folder()?;
        let directory = ringpost_directory::EmbeddedDirectory::open_in(&folder)
            .and_then(|directory| directory.snapshot())
            .with_context(|| format!("can't read the accounts in {}", folder.display()))?;
        Ok(directory)
    }

    fn data_folder(&self) -> anyhow::Result<PathBuf> {
        if let Some(folder) = &self.data {
            return Ok(folder.clone());
        }
        let source = self.config.clone().map_or_else(Source::default, Source::File);
        let (configuration, diagnostics) = Configuration::load(&source);
        let mut errors = diagnostics
            .iter()
            .filter(|diagnostic| diagnostic.severity() == Severity::Error);
        if let Some(error) = errors.next() {
            bail!("{error}");
        }
        let folder = configuration
            .path(directive::DATA_PATH)
            .context("data_path is empty")?;
        Ok(folder.to_owned())
    }
}

/// Parses the command line and runs the tool: 0 when it succeeds, 1 when it fails or is called wrongly.
pub(crate) fn run<Options: Parser>(
    arguments: Vec<OsString>,
    tool: impl FnOnce(&Options) -> anyhow::Result<ExitCode>,
) -> ExitCode {
    let options = match Options::try_parse_from(arguments) {
        Ok(options) => options,
        Err(error) => {
            // Nothing is left to do when standard error is closed.
            let _ = error.print();
            return if error.use_stderr() {
                ExitCode::FAILURE
            } else {
                ExitCode::SUCCESS
            };
        }
    };
    tool(&options).unwrap_or_else(|error| {
        eprintln!("{}: {error:#}", Options::command().get_name());
        ExitCode::FAILURE
    })
}
