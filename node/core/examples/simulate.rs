//! Runs seeded worlds from the command line: `simulate [--seed S] [--runs N] [--liar NAME]
//! [--ed25519]`. Exits with 1 if a promise was broken, and prints the seed that breaks it.
#![allow(
    clippy::disallowed_methods,
    reason = "measures itself, outside of the worlds"
)]
#![allow(
    clippy::disallowed_types,
    reason = "measures itself, outside of the worlds"
)]

use std::process::ExitCode;
use std::time::Instant;

use quorate_pbft::sim::{LiarKind, Options, Signatures, simulate};

fn main() -> ExitCode {
    let (mut options, mut runs) = (Options::default(), 1u64);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut number = || arguments.next().and_then(|n| n.parse().ok());
        match argument.as_str() {
            "--seed" => options.seed = number().unwrap_or(0),
            "--runs" => runs = number().unwrap_or(1),
            "--ed25519" => options.signatures = Signatures::Ed25519,
            "--liar" => {
                options.liar = arguments.next().and_then(|name| LiarKind::from_name(&name));
            }
            _ => return usage(),
        }
    }
    let (start, first) = (Instant::now(), options.seed);
    let (mut bad, mut heights, mut lies) = (0, 0, 0);
    for seed in first..first + runs {
        let report = simulate(&Options { seed, ..options });
        heights += report.heights;
        lies += report.counts.lies;
        if runs == 1 {
            println!("{report:#?}\ntrace {}", report.trace);
        }
        if !report.is_good() {
            bad += 1;
            println!("seed {seed} {:?}: {:?}", report.liars, report.violations);
        }
    }
    let took = start.elapsed();
    let each_ms = took.as_secs_f64() * 1000.0 / runs as f64;
    println!(
        "{runs} worlds from seed {first}: {bad} bad, {heights} heights, {lies} lies, {each_ms:.2} ms each"
    );
    if bad == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn usage() -> ExitCode {
    eprintln!("simulate [--seed S] [--runs N] [--liar NAME] [--ed25519]");
    ExitCode::from(4)
}
