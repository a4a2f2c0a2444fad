//! `quorate completions` and `quorate man`.

use std::io;
use std::path::PathBuf;

use clap::{Command, CommandFactory};

use crate::args::{Cli, CompletionsArgs, ManArgs};
use crate::failure::Failure;
use crate::files::{self, Access, Existing};
use crate::output::{Report, Verdict};
use crate::value::Value;

pub(super) fn completions(args: &CompletionsArgs) -> Result<Report, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "quorate", &mut script);
    let script = String::from_utf8(script).expect("completion scripts are text");
    Ok(Report::text(
        format!("completion script for {}", args.shell),
        script,
    ))
}

pub(super) fn man(args: &ManArgs) -> Result<Report, Failure> {
    let mut root = Cli::command();
    root.build();
    let Some(dir) = &args.out else {
        return Ok(Report::text("man page of quorate", page(&root)));
    };
    let failed = |error| Failure::Write {
        path: dir.clone(),
        error,
    };
    std::fs::create_dir_all(dir).map_err(failed)?;
    let existing = if args.force {
        Existing::Replace
    } else {
        Existing::Keep
    };
    let pages = pages(&root, "quorate");
    if let (Existing::Keep, Some(there)) = (existing, first_existing(dir, &pages)) {
        return Err(Failure::Exists(there));
    }
    for (name, text) in &pages {
        files::write(&dir.join(name), text.as_bytes(), Access::Public, existing)?;
    }
    let summary = format!("wrote {} man pages into {}", pages.len(), dir.display());
    let mut report = Report::new(Verdict::Done, summary);
    report.fact(
        "pages",
        pages
            .iter()
            .map(|(name, _)| name.as_str())
            .collect::<Value>(),
    );
    Ok(report)
}

/// So that nothing is written when anything is refused.
fn first_existing(dir: &std::path::Path, pages: &[(String, String)]) -> Option<PathBuf> {
    pages
        .iter()
        .map(|(name, _)| dir.join(name))
        .find(|path| path.symlink_metadata().is_ok())
}

/// The page of a command and of all below it, by file name.
fn pages(command: &Command, name: &str) -> Vec<(String, String)> {
    let mut all = vec![(format!("{name}.1"), page(command))];
    for below in command
        .get_subcommands()
        .filter(|c| !c.is_hide_set() && c.get_name() != "help")
    {
        all.extend(pages(below, &format!("{name}-{}", below.get_name())));
    }
    all
}

fn page(command: &Command) -> String {
    let mut page = Vec::new();
    let rendered: io::Result<()> = clap_mangen::Man::new(command.clone()).render(&mut page);
    rendered.expect("a vector takes all that is written");
    String::from_utf8(page).expect("man pages are text")
}
