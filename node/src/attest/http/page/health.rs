//! The finality log as it stands: how long, how fresh, who watches, and whether it is still what
//! was signed before.

use std::fmt::Write;
use std::time::{Duration, SystemTime};

use quorate_verifier::json::format_time;
use quorate_verifier::primitives::TimeMs;
use quorate_verifier::tlog::{Checkpoint, TreeHead, check_consistency};

use super::super::Context;
use super::escape;
use crate::attest::log::{LogReader, LogView, Tree};

/// The section of the page.
pub(super) fn write(context: &Context, out: &mut String) {
    let log = context.service.finality_log();
    let checkpoint = log.checkpoint();
    let head = checkpoint.head();
    let _ = write!(
        out,
        "<h2>The log</h2>\n<dl>\n<dt>Entries<dd id=\"log-size\">{}\n<dt>Last checkpoint<dd>{}\n\
         <dt>Root<dd><code>{}</code>\n",
        head.size,
        age(log),
        head.root
    );
    consistency(context, log, &checkpoint, out);
    cosigners(context, log, out);
    out.push_str(
        "</dl>\n<p>Whoever looks at the log with <code>quorate log monitor</code> remembers what it \
         was, and has proof if it is ever otherwise.</p>\n",
    );
}

/// When the newest checkpoint was written, by this machine's clock.
fn age(log: &LogView) -> String {
    let path = log.files().dir().join("checkpoint");
    let written = std::fs::metadata(path).and_then(|data| data.modified());
    let Ok(written) = written else {
        return "none so far".into();
    };
    let ago = SystemTime::now()
        .duration_since(written)
        .unwrap_or(Duration::ZERO);
    match seconds_of(written) {
        Some(time) => format!(
            "{time}, {} seconds before this page was made",
            ago.as_secs()
        ),
        None => "at an unknown time".into(),
    }
}

fn seconds_of(time: SystemTime) -> Option<String> {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    time_text(since.as_secs())
}

fn time_text(seconds: u64) -> Option<String> {
    let time = TimeMs::new(seconds.checked_mul(1000)?)?;
    Some(format_time(time).replace(".000Z", "Z"))
}

/// Holds tiles, memory and cosigned checkpoint against the newest one, now.
fn consistency(context: &Context, log: &LogView, checkpoint: &Checkpoint, out: &mut String) {
    let head = checkpoint.head();
    let mut wrong = Vec::new();
    let mut held = vec!["its own tiles".to_owned()];
    let root = Tree::new(log.files(), head.size).root();
    if !root.is_ok_and(|root| root == head.root) {
        wrong.push("its own tiles".to_owned());
    }
    let remembered = context.service.data().join("memory").join("finality");
    let remembered = std::fs::read_to_string(remembered).ok();
    let remembered = remembered.and_then(|text| text.parse::<Checkpoint>().ok());
    let published = log.files().checkpoint().ok();
    let cosigned = log.cosigned();
    for (name, known) in [
        (
            "what this service remembers to have signed",
            remembered.as_ref(),
        ),
        ("the checkpoint in its files", published.as_ref()),
        ("the last cosigned checkpoint", cosigned.as_deref()),
    ] {
        let Some(known) = known.map(Checkpoint::head) else {
            continue;
        };
        held.push(format!("{name} ({} entries)", known.size));
        if !extends(log, head, known) {
            wrong.push(format!("{name} ({} entries)", known.size));
        }
    }
    let (class, text) = if wrong.is_empty() {
        (
            "final",
            format!(
                "Yes, held against {}, when this page was made.",
                held.join(", ")
            ),
        )
    } else {
        (
            "conflict",
            format!(
                "NO: it contradicts {}. Rely on nothing here.",
                wrong.join(", ")
            ),
        )
    };
    let _ = writeln!(
        out,
        "<dt>Consistent<dd id=\"consistent\" class=\"{class}\">{}",
        escape(&text)
    );
}

/// Whether one head begins the other: the page may be made while the log grows, and tiles are
/// there before anything is signed.
fn extends(log: &LogView, one: &TreeHead, other: &TreeHead) -> bool {
    let (earlier, later) = if one.size <= other.size {
        (one, other)
    } else {
        (other, one)
    };
    let tree = Tree::new(log.files(), later.size);
    let proof = tree.consistency(earlier.size).ok().flatten();
    proof.is_some_and(|proof| {
        let (earlier, later) = ((earlier.size, &earlier.root), (later.size, &later.root));
        check_consistency(earlier, later, &proof).is_ok()
    })
}

fn cosigners(context: &Context, log: &LogView, out: &mut String) {
    let known = context.service.cosigners();
    if known.is_empty() {
        out.push_str(
            "<dt>Cosigners<dd id=\"cosigners\">None: this service alone signs. Who is shown another \
             log cannot notice it from here.\n",
        );
        return;
    }
    let cosigned = log.cosigned();
    out.push_str("<dt>Cosigners<dd id=\"cosigners\"><ul>\n");
    for key in known {
        let signed = cosigned.as_ref().and_then(|checkpoint| {
            let found = checkpoint.cosigned_by(&[*key.key()]).ok()?;
            Some((checkpoint.head().size, found.first()?.time))
        });
        let what = match signed {
            Some((size, time)) => {
                let time = time_text(time).unwrap_or_else(|| "an unknown time".into());
                format!("signed {size} entries at {time}, by its own clock")
            }
            None => "has not signed the newest cosigned checkpoint".into(),
        };
        let _ = writeln!(out, "<li><code>{}</code> {what}", escape(key.name()));
    }
    out.push_str("</ul>\n");
}
