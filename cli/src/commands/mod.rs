//! One module for each group of commands.

mod approve;
mod bench;
mod bundle;
mod certificate;
mod circuit;
mod demands;
mod demo;
mod doctor;
mod export;
mod founding;
mod genesis;
mod init;
mod inspect;
mod keygen;
mod keys;
mod ledger;
mod light_client;
mod link;
mod log;
mod node;
mod policy;
mod prove;
mod serve;
mod setup;
mod shell;
pub(crate) mod simulate;
mod status;
mod submit;
mod tls;
mod token;
mod verify;
mod work;
mod worker;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;

use crate::args::{BundleCommand, CertificateCommand, Cli, Command};
use crate::failure::Failure;
use crate::output::{self, Mode, Report, Verdict};

/// Reads the arguments, runs the command, answers, and returns the exit code.
pub(crate) fn run(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.collect();
    let (mode, parsed) = match Cli::try_parse_from(&arguments) {
        Ok(cli) => (
            Mode {
                json: cli.json,
                command: cli.command.name().into(),
            },
            Ok(cli),
        ),
        Err(error) => (mode_of_bad_arguments(&arguments), Err(error)),
    };
    let json = mode.json;
    output::set_mode(mode);
    // Without a handler the user's interrupt still ends the process, only less tidily.
    let _ = ctrlc::set_handler(output::interrupt);
    let code = match parsed {
        Ok(cli) => output::answer(&run_command(cli.command).unwrap_or_else(Report::from)),
        Err(error) => answer_clap(&error, json),
    };
    ExitCode::from(code)
}

fn run_command(command: Command) -> Result<Report, Failure> {
    match command {
        Command::Demo(args) => demo::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Keygen(args) => keygen::run(&args),
        Command::Init(args) => init::run(&args),
        Command::Genesis(args) => genesis::run(args),
        Command::Bundle(BundleCommand::Open(args)) => bundle::open(&args),
        Command::Certificate(CertificateCommand::Check(args)) => certificate::check(&args),
        Command::Circuit(args) => circuit::run(&args),
        Command::Verify(args) => verify::run(&args),
        Command::Policy(args) => policy::run(&args),
        Command::LightClient(command) => light_client::run(&command),
        Command::Simulate(args) => Ok(simulate::run(&args)),
        Command::Serve(args) => serve::run(&args),
        Command::Worker(args) => worker::run(&args),
        Command::Log(command) => log::run(&command),
        Command::Export(args) => export::run(&args),
        Command::Token(command) => token::run(&command),
        Command::Inspect(args) => inspect::run(&args),
        Command::Prove(args) => prove::run(&args),
        Command::Bench(command) => bench::run(&command),
        Command::Setup(args) => setup::run(&args),
        Command::Keys(command) => keys::run(&command),
        Command::Ledger(command) => ledger::run(&command),
        Command::Approve(args) => approve::run(&args),
        Command::Node(args) => node::run(&args),
        Command::Status(args) => status::run(&args),
        Command::Submit(args) => submit::run(&args),
        Command::Completions(args) => shell::completions(&args),
        Command::Man(args) => shell::man(&args),
    }
}

/// What can be told of arguments that clap refused: whether an answer in JSON was asked for, and
/// the words that look like a command.
fn mode_of_bad_arguments(arguments: &[OsString]) -> Mode {
    let mut options = arguments
        .iter()
        .skip(1)
        .take_while(|argument| *argument != "--");
    let json = options.any(|argument| argument == "--json");
    let root = <Cli as clap::CommandFactory>::command();
    let known = |name: &&str| root.get_subcommands().any(|c| c.get_name() == *name);
    let words = arguments
        .iter()
        .skip(1)
        .filter_map(|argument| argument.to_str());
    let command = words
        .filter(|word| !word.starts_with('-'))
        .take(1)
        .find(known);
    Mode {
        json,
        command: command.unwrap_or_default().into(),
    }
}

/// Help and version are results; all else is a usage error, 4 and not clap's own 2.
fn answer_clap(error: &clap::Error, json: bool) -> u8 {
    let asked_for = matches!(
        error.kind(),
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
    );
    if json {
        let text = error.render().to_string();
        let report = if asked_for {
            Report::text("what was asked for", text)
        } else {
            // The first paragraph says what is wrong, the rest how it is done.
            let (what, how) = text.split_once("\n\n").unwrap_or((&text, ""));
            let words: Vec<_> = what
                .split_whitespace()
                .skip_while(|w| *w == "error:")
                .collect();
            let mut report = Report::new(Verdict::Usage, words.join(" "));
            report.next(how.trim());
            report
        };
        return output::answer(&report);
    }
    // clap prints help on stdout and errors on stderr, coloured when it may be.
    match error.print() {
        Ok(()) if asked_for => 0,
        Ok(()) => Verdict::Usage.exit_code(),
        Err(_) => Verdict::Unavailable.exit_code(),
    }
}
