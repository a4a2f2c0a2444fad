//! The page: one question, answered in a sentence, without script.

mod health;
mod offline;
mod timeline;

use std::fmt::Write;
use std::sync::Arc;

use quorate_verifier::header::Header;
use quorate_verifier::json;
use quorate_verifier::primitives::Height;
use warp::http::header;

use super::Context;
use super::finality::{Block, block, store};
use super::problem::Problem;
use super::route::{Answer, Cache, Call};
use crate::attest::service::Finality;

pub(super) use offline::serve as verifier;
pub use offline::verify_html;

/// Nothing from elsewhere, nothing inline.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

const STYLE: &str = include_str!("page.css");
/// Made by `page/build.sh` from the `.mjs` files there and the second verifier of `fixtures/js`.
const SCRIPT: &str = include_str!("page/page.js");

/// `GET /page.css`.
pub(super) fn style(_: &Arc<Context>, _: &Call) -> Result<Answer, Problem> {
    Ok(Answer::new(
        "text/css; charset=utf-8",
        STYLE,
        Cache::Revalidate,
    ))
}

/// `GET /page.js`: verification in the browser.
pub(super) fn script(_: &Arc<Context>, _: &Call) -> Result<Answer, Problem> {
    let media = "text/javascript; charset=utf-8";
    Ok(Answer::new(media, SCRIPT, Cache::Revalidate))
}

/// `GET /?block=H`.
pub(super) fn page(context: &Arc<Context>, call: &Call) -> Result<Answer, Problem> {
    call.allow(&["block"])?;
    let asked = call.query.get("block").map_or("latest", String::as_str);
    let asked = if asked.is_empty() { "latest" } else { asked };
    let mut out = String::new();
    head(context, &mut out);
    form(&mut out, asked);
    let sentence = sentence(context, asked)?;
    let _ = writeln!(
        out,
        "<p id=\"answer\" class=\"{}\" role=\"status\">{}</p>",
        sentence.class,
        escape(&sentence.text)
    );
    if let Some(details) = &sentence.details {
        let _ = writeln!(out, "<p class=\"details\">{details}</p>");
    }
    if let Some(shown) = sentence.height {
        checks(context, shown, &mut out)?;
    }
    timeline::write(context, &mut out)?;
    health::write(context, &mut out);
    about(&mut out);
    out.push_str("</main>\n</html>\n");
    let answer = Answer::new("text/html; charset=utf-8", out, Cache::Revalidate)
        .header(header::CONTENT_SECURITY_POLICY, POLICY)
        .header(header::REFERRER_POLICY, "no-referrer");
    Ok(answer)
}

fn head(context: &Context, out: &mut String) {
    out.push_str(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>Is a block final?</title>\n<link rel=\"stylesheet\" href=\"/page.css\">\n<main>\n",
    );
    if context.service.has_development_key() {
        out.push_str(
            "<p id=\"development\">Development key: one party made the verifying key and could \
             forge proofs under it. Nothing here is fit for production.</p>\n",
        );
    }
    let _ = write!(
        out,
        "<h1>Is a block final?</h1>\n<p>Chain <code>{}</code>. A block is final when validators \
         with more than two thirds of the power signed it. This service shows that without naming \
         them.</p>\n",
        escape(context.service.chain().as_str())
    );
}

fn form(out: &mut String, asked: &str) {
    let _ = writeln!(
        out,
        "<form method=\"get\" action=\"/\"><label for=\"block\">Height, or digest of the header \
         </label><input id=\"block\" name=\"block\" value=\"{}\" autocomplete=\"off\"> \
         <button>Ask</button></form>",
        escape(asked)
    );
}

struct Sentence {
    class: &'static str,
    text: String,
    /// A final height.
    height: Option<Height>,
    /// Of the block, for whoever wants to compare.
    details: Option<String>,
}

fn details(header: &Header) -> String {
    format!(
        "Its time is {}, its digest <code>{}</code>.",
        json::format_time(header.time),
        header.digest()
    )
}

fn sentence(context: &Context, asked: &str) -> Result<Sentence, Problem> {
    let service = &context.service;
    let plain = |class, text: String| Sentence {
        class,
        text,
        height: None,
        details: None,
    };
    let height = match block(context, asked) {
        Ok(Block::At(height)) => height,
        Ok(Block::Latest) => match service.covered() {
            Some(height) => height,
            None => {
                let text = "No block has been shown to be final yet.";
                return Ok(plain("unknown", text.into()));
            }
        },
        Err(problem) if problem.kind == "unavailable" => return Err(problem),
        Err(problem) => return Ok(plain("unknown", format!("Unknown: {}.", problem.detail))),
    };
    let number = height.get();
    Ok(match service.finality(height).map_err(store)? {
        Finality::Final { header, proved, .. } => {
            let how = if proved == height {
                "a proof of its own shows it".to_owned()
            } else {
                format!(
                    "the proof of block {}, its descendant, shows it",
                    proved.get()
                )
            };
            let text = format!("Block {number} of {} is final: {how}.", service.chain());
            Sentence {
                class: "final",
                text,
                height: Some(height),
                details: Some(details(&header)),
            }
        }
        Finality::Pending { header } => {
            let text = format!(
                "Block {number} is pending: validators have signed it, and its proof is being made."
            );
            Sentence {
                details: Some(details(&header)),
                ..plain("pending", text)
            }
        }
        Finality::Conflict { fork } => plain(
            "conflict",
            format!(
                "CONFLICT: two final blocks are known at height {}. At least a third of the \
                 validators' power broke the rules; rely on no block from there on.",
                fork.get()
            ),
        ),
        Finality::Unknown => plain(
            "unknown",
            format!("Unknown: block {number} has not been seen. It may come, or never exist."),
        ),
        Finality::BeforeStart { first } => plain(
            "unknown",
            format!("Unknown: this service starts at block {}.", first.get()),
        ),
    })
}

/// The chain of checks, and what each does not show.
fn checks(context: &Context, height: Height, out: &mut String) -> Result<(), Problem> {
    let service = &context.service;
    let proof = service.store().proved_from(height).map_err(store)?;
    let Some(proof) = proof else { return Ok(()) };
    let (number, proved) = (height.get(), proof.header.height.get());
    let index = number.saturating_sub(service.first_height().get());
    let cosigned = service.finality_log().cosigned();
    let log = match cosigned.filter(|checkpoint| index < checkpoint.head().size) {
        Some(checkpoint) => format!(
            "Entry {index} is under a checkpoint of {} entries that a cosigner signed too.",
            checkpoint.head().size
        ),
        None => format!(
            "Entry {index} is under a checkpoint of {} entries that this service signed alone.",
            service.finality_log().size()
        ),
    };
    let rows = [
        (
            "Proof",
            format!(
                "{} members of set <code>{}</code>, holding {} of its power, signed block {proved}.",
                "<a href=\"/v1/attestations/".to_owned()
                    + &proved.to_string()
                    + "\">The proof</a> says that",
                proof.header.validators,
                escape(&proof.rule.to_string())
            ),
            "Who they are, or how many; that they are honest.",
        ),
        (
            "Key",
            format!(
                "The proof is under verifying key <code>{}</code>.",
                proof.key
            ),
            "That whoever made the key has destroyed its secret.",
        ),
        (
            "Parents",
            if proved == number {
                "The proof is of this very block.".to_owned()
            } else {
                format!(
                    "<a href=\"/v1/headers?from={number}&amp;to={proved}\">Parent links</a> lead \
                     from block {proved} down to this one."
                )
            },
            "What the block's content means.",
        ),
        (
            "Set",
            format!(
                "Each header names the next set, from the anchor <code>{}</code> that this service \
                 started with.",
                service.policy().anchor.digest()
            ),
            "That the anchor is right: compare its digest with one that you have from elsewhere.",
        ),
        (
            "Log",
            format!(
                "<a href=\"/log/finality/proof/{index}\">A path</a> shows it in the log. {log}"
            ),
            "That everybody is shown the same log: cosigners and monitors watch for that.",
        ),
    ];
    out.push_str(
        "<table><caption>What shows it. The service has checked this; verify it yourself with \
         <code>quorate verify</code>.</caption>\n<tr><th>Link<th>What it shows<th>What it does \
         not</tr>\n",
    );
    for (name, shows, not) in rows {
        let _ = writeln!(out, "<tr><th scope=\"row\">{name}<td>{shows}<td>{not}</tr>");
    }
    out.push_str("</table>\n");
    let last = service.covered().map_or(number, Height::get);
    let _ = write!(
        out,
        "<h2>The evidence</h2>\n\
         <form id=\"pack\" method=\"get\" action=\"/v1/packs\"><label>From <input name=\"from\" \
         inputmode=\"numeric\" pattern=\"[0-9]+\" value=\"{number}\"></label> \
         <label>to <input name=\"to\" inputmode=\"numeric\" pattern=\"[0-9]+\" \
         value=\"{number}\"></label> <button>Download the evidence</button></form>\n\
         <p>One archive that shows these blocks to be final, for as long as you keep it: at most {} \
         blocks from here, up to block {last}; more with <code>quorate export</code>. Its parts alone: \
         <a href=\"/v1/attestations/{proved}/binary\">attestation</a>, \
         <a href=\"/v1/keys/{}\">verifying key</a>, \
         <a href=\"/log/finality/proof/{index}\">log proof</a>.</p>\n\
         <div id=\"tools\" hidden data-height=\"{number}\">\n\
         <p><button id=\"verify\">Verify in my browser</button> \
         <button id=\"tamper\" disabled>Change one digit and watch it fail</button></p>\n\
         <p><label>By a policy of my own, if I have one: <input type=\"file\" id=\"policy\"></label></p>\n\
         <div id=\"verdict\" role=\"status\"></div>\n<p id=\"tampered\" role=\"status\"></p>\n</div>\n\
         <script src=\"/page.js\" defer></script>\n",
        super::packs::DOWNLOAD_MAX,
        proof.key
    );
    Ok(())
}

/// What whoever comes here may want to have.
fn about(out: &mut String) {
    out.push_str(
        "<h2>Check it elsewhere</h2>\n<p>This page is the service's own word. Whoever wants more \
         keeps <a href=\"/verify.html\" download>verify.html</a>, which checks an evidence pack \
         from a file, without any network, or runs <code>quorate verify PACK --policy FILE</code>. \
         Both judge by a policy of yours: have it from somebody you trust, not from here.</p>\n",
    );
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}
