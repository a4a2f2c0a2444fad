//! `verify.html`: the page's own script and style in one file, which asks nothing of any network.

use std::sync::{Arc, LazyLock};

use base64ct::{Base64, Encoding};
use sha2::{Digest as _, Sha256};
use warp::http::header;

use super::super::Context;
use super::super::problem::Problem;
use super::super::route::{Answer, Cache, Call};
use super::{SCRIPT, STYLE};

const BODY: &str = include_str!("verify.html");

/// The file, and what it allows itself.
static FILE: LazyLock<(String, String)> = LazyLock::new(|| {
    let sum = |text: &str| Base64::encode_string(&Sha256::digest(text));
    let policy = format!(
        "default-src 'none'; script-src 'sha256-{}'; style-src 'sha256-{}'; base-uri 'none'; \
         form-action 'none'",
        sum(SCRIPT),
        sum(STYLE)
    );
    let file = format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{policy}\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"referrer\" content=\"no-referrer\">\n<title>Check an evidence pack</title>\n\
         <style>{STYLE}</style>\n{BODY}<script>{SCRIPT}</script>\n</html>\n"
    );
    (file, policy)
});

/// The page that checks an evidence pack from a file, offline: the same bytes in each pack, and
/// whenever this version of the program is asked for them.
pub fn verify_html() -> &'static str {
    &FILE.0
}

/// `GET /verify.html`.
pub(in super::super) fn serve(_: &Arc<Context>, call: &Call) -> Result<Answer, Problem> {
    call.allow(&[])?;
    let answer = Answer::new("text/html; charset=utf-8", verify_html(), Cache::Revalidate)
        .header(header::CONTENT_SECURITY_POLICY, FILE.1.as_str())
        .header(header::REFERRER_POLICY, "no-referrer");
    Ok(answer)
}
