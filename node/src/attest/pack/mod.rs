//! An evidence pack: one archive that shows a range of heights to be final, for later and elsewhere.
//!
//! The same log gives the same bytes. What a pack holds is judged by a policy of its reader's, who
//! takes nothing from it but what is to be judged: anchor, rule, accepted keys, log key and
//! cosigners are the policy's.

mod archive;
mod build;
mod check;
mod report;

use serde::{Deserialize, Serialize};

pub use build::{BuildError, Parts};
pub use check::{Judgement, Outcome, Refusal, Step, check};

/// Most heights in one pack.
pub const HEIGHTS_MAX: u64 = 10_000;
/// Largest archive.
pub const BYTES_MAX: usize = 256 << 20;
/// Most files in one.
const FILES_MAX: usize = 40_000;

/// The manifest's type.
const TYPE: &str = "quorate/pack/v1";
/// Its name in the archive.
const MANIFEST: &str = "MANIFEST.json";
/// What a pack is, for whoever opens it by hand.
const README: &str = "README.txt";
/// The heights as a table.
const CSV: &str = "heights.csv";
/// The heights as a document.
const REPORT: &str = "heights.json";
/// The page that checks a pack.
const VERIFIER: &str = "verify.html";

/// What is in the archive. Members are in the order of their names, and there is one way to write it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Manifest {
    chain: String,
    files: Vec<Listed>,
    from: String,
    proved_by: String,
    to: String,
    r#type: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Listed {
    bytes: usize,
    name: String,
    sha256: String,
}

impl Manifest {
    fn text(&self) -> Vec<u8> {
        pretty(self)
    }
}

/// JSON as every document of a pack is written: indented by two, a newline at its end.
fn pretty<T: Serialize>(value: &T) -> Vec<u8> {
    let mut text = serde_json::to_vec_pretty(value).expect("our documents have string keys only");
    text.push(b'\n');
    text
}

/// Whether the bytes begin as a tar archive does.
pub fn is_archive(start: &[u8]) -> bool {
    start.get(257..263) == Some(b"ustar\0")
}

/// What says that a pack's own verifier is not to be relied on.
fn words(from: u64, to: u64, proved: u64) -> String {
    format!(
        "An evidence pack: it is meant to show that heights {from} to {to} were final.\n\n\
         It holds the headers from the first of these to height {proved}, a proof that validators\n\
         with more than two thirds of the power signed height {proved}, the proofs that lead to\n\
         their set from the chain's start, the verifying keys, and for each height the way from\n\
         its entry to a signed checkpoint of the public log. Nobody who signed is named.\n\n\
         Check it without a network, by a policy of your own, which says which chain, which\n\
         verifying keys, which log and which cosigners you accept:\n\n\
         \x20   quorate verify THIS_FILE --policy POLICY\n\n\
         Or open a verify.html in a browser and drop this file and the policy onto it.\n\n\
         DO NOT TRUST the verify.html in this archive if you got the archive from somebody whom\n\
         you do not trust: whoever made the archive may have put another page there, which says\n\
         that all is well whatever you give it. Take verify.html from somebody you trust, or from\n\
         your own copy of the program: quorate export --verify-html FILE. Take the policy from\n\
         somewhere else than this archive, too: nothing here says what you should accept.\n\n\
         heights.csv and heights.json say what the headers say, for a spreadsheet or a program,\n\
         and are checked against the headers. This text and verify.html are no evidence.\n"
    )
}
