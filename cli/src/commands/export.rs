//! `quorate export`: an evidence pack, one file that shows a range of heights to be final.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use quorate_node::attest::client::{Client, ClientError, HttpReader};
use quorate_node::attest::log::{LogReader, Tree};
use quorate_verifier::attestation::Attestation;
use quorate_verifier::file::FileType;
use quorate_verifier::header::Header;
use quorate_verifier::json::{format_time, parse_decimal};
use quorate_verifier::proof::VerifyingKey;
use quorate_verifier::tlog::{Checkpoint, LogError, LogProof};
use serde_json::{Value as Json, json};
use sha2::{Digest as _, Sha256};
use tokio::runtime::Runtime;

use super::{serve, tls, work};
use crate::args::ExportArgs;
use crate::failure::Failure;
use crate::files::{self, Access};
use crate::output::{Report, Verdict};

/// Most heights in one pack.
pub(super) const HEIGHTS_MAX: u64 = 10_000;
/// Between two looks at a height that is not final yet.
const ASK_AGAIN: Duration = Duration::from_millis(500);
/// The manifest's type.
pub(super) const TYPE: &str = "quorate/pack/v1";
/// Its name in the archive.
pub(super) const MANIFEST: &str = "MANIFEST.json";

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
    if args.from > args.to || args.to - args.from >= HEIGHTS_MAX {
        let what = format!("--from is at most --to, with at most {HEIGHTS_MAX} heights between");
        return Err(Failure::usage(what));
    }
    let existing = work::existing(args.force);
    let url = args.url.trim_end_matches('/');
    let trust = tls::trust(&args.ca)?;
    let asked = Asked {
        client: Client::trusting(url, None, trust.as_ref()).map_err(unreached)?,
        runtime: serve::runtime()?,
    };
    let (finality, proved) = wait(&asked, args)?;
    let mut pack = BTreeMap::new();
    let chain = finality["chain"].as_str().unwrap_or_default().to_owned();
    let headers = add_headers(&asked, args.from, proved, &mut pack)?;
    add_proofs(&asked, proved, &mut pack)?;
    let log = format!("{url}/log/finality");
    let log = HttpReader::trusting(&log, None, trust.as_ref()).map_err(unreached)?;
    let size = add_log(&log, args, &finality, &mut pack)?;
    add_words(args, proved, &headers, &mut pack);
    let manifest = manifest(&chain, args, proved, &pack);
    let count = pack.len();
    pack.insert(MANIFEST.into(), manifest);
    let bytes = archive(&pack)?;
    files::write(&args.out, &bytes, Access::Public, existing)?;
    let mut report = Report::new(
        Verdict::Done,
        format!(
            "heights {} to {} in {} files",
            args.from,
            args.to,
            count + 1
        ),
    );
    report
        .fact("file", args.out.display().to_string())
        .fact("bytes", bytes.len())
        .fact("sha256", hex::encode(Sha256::digest(&bytes)))
        .fact("proved by", proved.to_string())
        .fact("log size", size.to_string())
        .not_checked("anything: a pack is judged by whoever has a policy")
        .next("quorate verify PACK --policy FILE");
    Ok(report)
}

/// What the service says of the last height, and the height whose proof shows it; for a height
/// that is not final yet as soon as it is, within the time that the user gives.
fn wait(asked: &Asked, args: &ExportArgs) -> Result<(Json, u64), Failure> {
    let begun = Instant::now();
    let patience = Duration::from_secs(args.wait);
    loop {
        match finality(asked, args.to) {
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
fn add_headers(
    asked: &Asked,
    from: u64,
    proved: u64,
    pack: &mut BTreeMap<String, Vec<u8>>,
) -> Result<Vec<Header>, Failure> {
    let items = asked.pages(format!("/v1/headers?from={from}&to={proved}"), "headers")?;
    let mut headers = Vec::new();
    for item in items {
        let header: Header = document(&item)?;
        let name = format!("headers/{:020}.header", header.height.get());
        pack.insert(name, header.to_file());
        headers.push(header);
    }
    Ok(headers)
}

/// The proof, those that lead to its set from the anchor, and the keys.
fn add_proofs(
    asked: &Asked,
    proved: u64,
    pack: &mut BTreeMap<String, Vec<u8>>,
) -> Result<(), Failure> {
    let mut add = |attestation: &Attestation| {
        let height = attestation.header.height.get();
        if height <= proved {
            pack.insert(
                format!("proofs/{height:020}.attestation"),
                attestation.to_file(),
            );
        }
    };
    let path = "/v1/light-client/updates?count=100".to_owned();
    for item in asked.pages(path, "updates")? {
        add(&document(&item)?);
    }
    let file = asked.get(&format!("/v1/attestations/{proved}/binary"))?;
    add(&decoded(&file)?);
    let bootstrap = asked.json("/v1/light-client/bootstrap")?;
    for key in bootstrap["verifyingKeys"].as_array().into_iter().flatten() {
        let key: VerifyingKey = document(&key["document"])?;
        pack.insert(format!("keys/{}.vk", key.digest()), key.to_file());
    }
    Ok(())
}

/// A path for each height, all to one checkpoint: the cosigned one if it has them.
fn add_log(
    reader: &HttpReader,
    args: &ExportArgs,
    finality: &Json,
    pack: &mut BTreeMap<String, Vec<u8>>,
) -> Result<u64, Failure> {
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
    for height in args.from..=args.to {
        let index = last - (args.to - height);
        let path = tree.inclusion(index).map_err(failed)?;
        let path = path.ok_or_else(|| {
            Failure::Machine(format!(
                "the log's checkpoint does not reach height {height}"
            ))
        })?;
        let proof = LogProof {
            index,
            path,
            checkpoint: checkpoint.clone(),
        };
        pack.insert(
            format!("log/{height:020}.tlog-proof"),
            proof.to_string().into_bytes(),
        );
    }
    Ok(checkpoint.head().size)
}

fn add_words(
    args: &ExportArgs,
    proved: u64,
    headers: &[Header],
    pack: &mut BTreeMap<String, Vec<u8>>,
) {
    let mut csv = "height,time,block,parent,proved_by\n".to_owned();
    for header in headers {
        csv.push_str(&format!(
            "{},{},{},{},{proved}\n",
            header.height.get(),
            format_time(header.time),
            header.digest(),
            header.parent
        ));
    }
    pack.insert("heights.csv".into(), csv.into_bytes());
    let words = format!(
        "An evidence pack: heights {} to {} were final.\n\n\
         It holds the headers from the first of these to height {proved}, a proof that validators\n\
         with more than two thirds of the power signed height {proved}, the proofs that lead to\n\
         their set from the chain's start, the verifying keys, and for each height the way from\n\
         its entry to a signed checkpoint of the public log. Nobody who signed is named.\n\n\
         Check it without a network, by a policy of your own, which says which chain, which\n\
         verifying keys, which log and which cosigners you accept:\n\n\
         \x20   quorate verify THIS_FILE --policy POLICY\n\n\
         Nothing in this archive says what you should accept. heights.csv is for reading only\n\
         and is checked against the headers.\n",
        args.from, args.to
    );
    pack.insert("README.txt".into(), words.into_bytes());
}

fn manifest(
    chain: &str,
    args: &ExportArgs,
    proved: u64,
    pack: &BTreeMap<String, Vec<u8>>,
) -> Vec<u8> {
    let files: Vec<_> = pack
        .iter()
        .map(|(name, bytes)| {
            json!({
                "name": name,
                "bytes": bytes.len(),
                "sha256": hex::encode(Sha256::digest(bytes)),
            })
        })
        .collect();
    let manifest = json!({
        "type": TYPE,
        "chain": chain,
        "from": args.from.to_string(),
        "to": args.to.to_string(),
        "provedBy": proved.to_string(),
        "files": files,
    });
    let mut text = serde_json::to_vec_pretty(&manifest).unwrap_or_default();
    text.push(b'\n');
    text
}

/// A ustar archive in which nothing depends on the machine or the hour.
fn archive(pack: &BTreeMap<String, Vec<u8>>) -> Result<Vec<u8>, Failure> {
    let mut out = Vec::new();
    for (name, bytes) in pack {
        let mut head = [0_u8; 512];
        let mut put =
            |at: usize, text: &str| head[at..at + text.len()].copy_from_slice(text.as_bytes());
        if name.len() > 100 {
            return Err(Failure::Machine(format!(
                "{name}: a name of more than 100 bytes"
            )));
        }
        put(0, name);
        put(100, "0000644\0");
        put(108, "0000000\0");
        put(116, "0000000\0");
        put(124, &format!("{:011o}\0", bytes.len()));
        put(136, "00000000000\0");
        put(148, "        ");
        put(156, "0");
        put(257, "ustar\x0000");
        let sum: u32 = head.iter().map(|byte| u32::from(*byte)).sum();
        let text = format!("{sum:06o}\0 ");
        head[148..156].copy_from_slice(text.as_bytes());
        out.extend_from_slice(&head);
        out.extend_from_slice(bytes);
        out.resize(out.len().next_multiple_of(512), 0);
    }
    out.resize(out.len() + 1024, 0);
    Ok(out)
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

impl From<LogError> for Failure {
    fn from(error: LogError) -> Self {
        Self::Invalid(error.to_string())
    }
}
