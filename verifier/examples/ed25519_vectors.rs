//! Writes the Ed25519 vectors of our own and the table of verdicts, from seeds and expectations alone.
//!
//! Run `cargo run --release -p quorate-verifier --example ed25519_vectors`; a test fails while the files differ.
#![allow(
    clippy::unwrap_used,
    reason = "a developer's tool: it stops where it stands"
)]
#![allow(dead_code, reason = "the tests use the rest of the shared module")]

#[path = "../tests/it/signature_cases/mod.rs"]
mod signature_cases;

use signature_cases::{own, table, workspace_file};

fn main() -> std::io::Result<()> {
    std::fs::write(workspace_file(own::PATH), own::file())?;
    let page = std::fs::read_to_string(workspace_file(table::PAGE))?;
    let page = table::replaced(&page, |case| case.expected)
        .ok_or_else(|| std::io::Error::other("the page has no place for the table"))?;
    std::fs::write(workspace_file(table::PAGE), page)
}
