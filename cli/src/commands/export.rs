//! `quorate export`: an evidence pack, one file that shows a range of heights to be final.

use std::thread;
use std::time::{Duration, Instant};

use quorate_node::attest::client::{Client, ClientError, HttpReader};
use quorate_node::attest::http::verify_html;
use quorate_node::attest::log::{LogReader, Tree};
use quorate_node::attest::pack::{HEIGHTS_MAX, Parts};
use quorate_verifier::attestation::Attestation;
use quorate_verifier::file::FileType;
use quorate_verifier::header::Header;
use quorate_verifier::json::parse_decimal;
use quorate_verifier::light_client::Update;
use quorate_verifier::primitives::ChainId;
use quorate_verifier::proof::VerifyingKey;
use quorate_verifier::tlog::{Checkpoint, LogProof};
use serde_json::Value as Json;
use sha2::{Digest as _, Sha256};
use tokio::runtime::Runtime;

use super::{serve, tls, work};
use crate::args::ExportArgs;
use crate::failure::Failure;
use crate::files::{self, Access};
use crate::output::{Report, Verdict};

/// Between two looks at a height that is not final yet.
const ASK_AGAIN: Duration = Duration::from_millis(500);

/// A service, asked in turn.
struct Asked {
    client: Client,
    runtime: Runtime,
}

impl Asked {
    fn get(&self, path: &str) -> Result<Vec<u8>, Failure> {
        let (status, body) = self
            .runtime
            .block_on(self.client.get(path))
            .map_err(unreached)?;
        if status.as_u16() == 200 {
            return Ok(body.to_vec());
        }
        let text = String::from_utf8_lossy(&body).into_owned();
        let problem: Json = serde_json::from_str(&text).unwrap_or_default();
        let detail = problem["detail"].as_str().unwrap_or("no reason given");
        Err(Failure::Unknown(format!("{path}: HTTP {status}: {detail}")))
    }

    fn json(&self, path: &str) -> Result<Json, Failure> {
        serde_json::from_slice(&self.get(path)?)
            .map_err(|error| Failure::Machine(format!("{path}: {error}")))
    }

    /// Every item of a list, page after page.
    fn pages(&self, path: String, list: &str) -> Result<Vec<Json>, Failure> {
        let mut next = Some(path);
        let mut items = Vec::new();
        while let Some(path) = next {
            let page = self.json(&path)?;
            items.extend(page[list].as_array().cloned().unwrap_or_default());
            next = page["next"].as_str().map(str::to_owned);
        }
        Ok(items)
    }
}

pub(super) fn run(args: &ExportArgs) -> Result<Report, Failure> {
    let existing = work::existing(args.force);
    if let Some(path) = &args.verify_html {
        files::write(path, verify_html().as_bytes(), Access::Public, existing)?;
        let mut report = Report::new(Verdict::Done, "the page that checks packs was written");
        report
            .fact("file", path.display().to_string())
            .fact("sha256", hex::encode(Sha256::digest(verify_html())))
            .next("open it in a browser, and drop a pack and a policy onto it");
        return Ok(report);
    }
    let (Some(url), Some(from), Some(to), Some(out)) = (&args.url, args.from, args.to, &args.out)
    else {
        return Err(Failure::usage("--url, --from, --to and --out are needed"));
    };
    if from > to || to - from >= HEIGHTS_MAX {
        let what = format!("--from is at most --to, with at most {HEIGHTS_MAX} heights between");
        return Err(Failure::usage(what));
    }
    let url = url.trim_end_matches('/');
    let trust = tls::trust(&args.ca)?;
    let asked = Asked {
        client: Client::trusting(url, None, trust.as_ref()).map_err(unreached)?,
        runtime: serve::runtime()?,
    };
    let (finality, proved) = wait(&asked, to, args.wait)?;
    let chain = finality["chain"].as_str().unwrap_or_default();
    let reader = format!("{url}/log/finality");
    let reader = HttpReader::trusting(&reader, None, trust.as_ref()).map_err(unreached)?;
    let parts = Parts {
        chain: ChainId::new(chain)
            .map_err(|error| Failure::Machine(format!("the service's chain: {error}")))?,
        from,
        to,
        headers: headers(&asked, from, proved)?,
        proofs: proofs(&asked, proved)?,
        keys: keys(&asked)?,
        log: log(&reader, from, to, &finality)?,
    };
    let bytes = parts
        .archive()
        .map_err(|error| Failure::Machine(format!("the service's answers: {error}")))?;
    files::write(out, &bytes, Access::Public, existing)?;
    let size = parts.log.first().map(|way| way.checkpoint.head().size);
    let mut report = Report::new(
        Verdict::Done,
        format!("heights {from} to {to} were exported"),
    );
    report
        .fact("file", out.display().to_string())
        .fact("bytes", bytes.len())
        .fact("sha256", hex::encode(Sha256::digest(&bytes)))
        .fact("proved by", proved.to_string())
        .fact("log size", size.map(|size| size.to_string()))
        .not_checked("anything: a pack is judged by whoever has a policy")
        .next("quorate verify PACK --policy FILE");
    Ok(report)
}

/// What the service says of the last height, and the height whose proof shows it; for a height
/// that is not final yet as soon as it is, within the time that the user gives.
fn wait(asked: &Asked, height: u64, seconds: u64) -> Result<(Json, u64), Failure> {
    let begun = Instant::now();
    let patience = Duration::from_secs(seconds);
    loop {
        match finality(asked, height) {
            // The service may just start, the chain may not be there yet.
            Err(Failure::Machine(_) | Failure::Unknown(_)) if begun.elapsed() < patience => {
                thread::sleep(ASK_AGAIN);
            }
            answer => return answer,
        }
    }
}

fn finality(asked: &Asked, height: u64) -> Result<(Json, u64), Failure> {
    let answer = asked.json(&format!("/v1/finality/{height}"))?;
    match answer["status"].as_str() {
        Some("final") => {
            let proved = number(&answer["provedBy"])?;
            Ok((answer, proved))
        }
        Some("pending") => Err(Failure::Machine(format!(
            "height {height} is not proved yet; --wait SECONDS waits for it"
        ))),
        other => {
            let word = other.unwrap_or("unknown");
            let what = format!("height {height} is {word}, not final");
            Err(Failure::Refused(what))
        }
    }
}

/// Headers from the first height to the proved one: the parent links.
fn headers(asked: &Asked, from: u64, proved: u64) -> Result<Vec<Header>, Failure> {
    let items = asked.pages(format!("/v1/headers?from={from}&to={proved}"), "headers")?;
    items.iter().map(document).collect()
}

/// The proof, and those that lead to its set from the anchor.
fn proofs(asked: &Asked, proved: u64) -> Result<Vec<Attestation>, Failure> {
    let path = "/v1/light-client/updates?count=100".to_owned();
    let mut proofs = Vec::new();
    for item in asked.pages(path, "updates")? {
        // One that opens new parameters has its attestation inside.
        let update = match item["type"] == "quorate/client-update/v1" {
            true => document::<Update>(&item)?.attestation,
            false => document(&item)?,
        };
        if update.header.height.get() >= proved {
            break;
        }
        proofs.push(update);
    }
    let file = asked.get(&format!("/v1/attestations/{proved}/binary"))?;
    proofs.push(decoded(&file)?);
    Ok(proofs)
}

fn keys(asked: &Asked) -> Result<Vec<VerifyingKey>, Failure> {
    let bootstrap = asked.json("/v1/light-client/bootstrap")?;
    let keys = bootstrap["verifyingKeys"].as_array().into_iter().flatten();
    keys.map(|key| document(&key["document"])).collect()
}

/// A way for each height, all to one checkpoint: the cosigned one if it has them.
fn log(reader: &HttpReader, from: u64, to: u64, finality: &Json) -> Result<Vec<LogProof>, Failure> {
    let failed = |error: std::io::Error| Failure::Machine(format!("the log: {error}"));
    let last = number(&finality["logIndex"])?;
    let cosigned = reader.cosigned().map_err(failed)?;
    let checkpoint: Checkpoint = match cosigned.filter(|one| one.head().size > last) {
        Some(checkpoint) => checkpoint,
        None => reader
            .checkpoint()
            .map_err(|e| Failure::Machine(e.to_string()))?,
    };
    let tree = Tree::new(reader, checkpoint.head().size);
    let way = |height: u64| {
        let short = || {
            let what = format!("the log's checkpoint does not reach height {height}");
            Failure::Machine(what)
        };
        let index = last.checked_sub(to - height).ok_or_else(short)?;
        let path = tree.inclusion(index).map_err(failed)?;
        Ok(LogProof {
            index,
            path: path.ok_or_else(short)?,
            checkpoint: checkpoint.clone(),
        })
    };
    (from..=to).map(way).collect()
}

fn number(value: &Json) -> Result<u64, Failure> {
    let wrong = || Failure::Machine("the service answered something else than a number".into());
    parse_decimal(value.as_str().ok_or_else(wrong)?).map_err(|_| wrong())
}

fn document<T: FileType>(value: &Json) -> Result<T, Failure> {
    decoded(value.to_string().as_bytes())
}

fn decoded<T: FileType>(bytes: &[u8]) -> Result<T, Failure> {
    T::from_file(bytes).map_err(|error| Failure::Machine(format!("the service's answer: {error}")))
}

fn unreached(error: ClientError) -> Failure {
    match error {
        ClientError::Address(_) | ClientError::NoTrust(_) | ClientError::NotTls(_) => {
            Failure::usage(error.to_string())
        }
        ClientError::Unreachable { .. } => Failure::Machine(error.to_string()),
    }
}
