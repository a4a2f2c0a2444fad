//! `quorate demo`: four validators, the attestation service with its worker and a light client, as
//! processes of their own on loopback, with real files, TLS and proofs.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use quorate_node::app::{Requests, Scenario};
use quorate_node::attest::client::Client;
use quorate_prover::{Store, open_prover};
use quorate_verifier::attestation::{Attestation, KeyRing, verify};
use quorate_verifier::file::FileType;
use quorate_verifier::primitives::Digest;
use quorate_verifier::proof::VerifyingKey;
use quorate_verifier::sizes::NAMED_SIZES;
use quorate_verifier::trust::{Policy, TrustAnchor};
use serde_json::Value as Json;
use tokio::runtime::Runtime;

use super::super::{founding, serve, setup, tls, work};
use super::processes::{Program, Running};
use crate::args::{DemoArgs, WorkArgs};
use crate::failure::{Failure, Role};
use crate::files::{self, Access, Existing, Scratch, Source};
use crate::output::{Report, Verdict};
use crate::progress::{Style, spoken};
use crate::value::Value;

const VALIDATORS: u16 = 4;
const TRADERS: usize = 8;
/// Requests that are ready when the network starts, and how many are sent at a time.
const REQUESTS: usize = 4000;
const AT_A_TIME: usize = 8;
/// Between two batches of requests, and between two looks at the service.
const PAUSE: Duration = Duration::from_millis(300);
/// Verifications, of which the quickest is told: this machine does much else meanwhile.
const CHECKS: usize = 5;
/// A step that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(180);
const MONTH_MS: u64 = 30 * 24 * 3600 * 1000;

pub(super) fn run(args: &DemoArgs) -> Result<Report, Failure> {
    let home = Scratch::new("quorate-demo-")?;
    let dir = match &args.dir {
        Some(dir) => directory(dir)?,
        None => home.path().to_owned(),
    };
    let stage = Stage(Instant::now());
    let key = proving_key(&work::store(&args.store)?, &stage)?;
    let runtime = serve::runtime()?;
    let stop = Arc::new(AtomicBool::new(false));
    runtime.block_on(async {
        let stop = Arc::clone(&stop);
        serve::on_stop(move || stop.store(true, Ordering::Relaxed));
    });

    // The user's interrupt reaches the other processes too, so whatever fails after it is the end.
    let interrupted = |failure: Failure| match stop.load(Ordering::Relaxed) {
        true => Failure::Interrupted,
        false => failure,
    };

    let network = Network::found(args, &dir, &key, &stage)?;
    let mut parts = network.start(&stage, &stop).map_err(interrupted)?;
    let asked = Asked {
        client: network.client(&parts.public)?,
        runtime,
    };
    let traffic = Traffic::start(&network, Arc::clone(&stop))?;
    stage.say(&format!("the page is at {}/", parts.public));
    let mut seen = Seen::default();
    let enough = |seen: &Seen| seen.proved.len() >= usize::from(args.proofs);
    watch(&mut seen, enough, &asked, &mut parts, &stop, &stage).map_err(interrupted)?;
    let checked = network.check(&asked, &stage).map_err(interrupted)?;
    if !args.exit {
        stage.say(&format!(
            "everything goes on until it is interrupted; the page is at {}/",
            parts.public
        ));
        match watch(&mut seen, |_| false, &asked, &mut parts, &stop, &stage).map_err(interrupted) {
            Ok(()) | Err(Failure::Interrupted) => {}
            Err(failure) => return Err(failure),
        }
    }
    // The service stops first: it has nothing to ask of nodes that are gone.
    let proving = proving_seconds(&parts.service.log());
    let requests = traffic.finish(&stop);
    drop(parts);
    stage.say("all processes have stopped");
    Ok(network.report(args, &seen, &checked, &proving, &requests))
}

/// Tells on stderr what goes on, and when.
struct Stage(Instant);

impl Stage {
    fn say(&self, what: &str) {
        eprintln!("[{:>4.0} s] {what}", self.0.elapsed().as_secs_f64());
    }
}

/// A new directory, by its absolute path.
fn directory(dir: &Path) -> Result<PathBuf, Failure> {
    let failed = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => Failure::Exists(dir.into()),
        _ => Failure::Write {
            path: dir.into(),
            error,
        },
    };
    let mut builder = std::fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir).map_err(failed)?;
    dir.canonicalize().map_err(failed)
}

/// A key of the smallest size, and where it is.
struct Key {
    verifying: VerifyingKey,
    store: PathBuf,
    was_made: bool,
}

/// One that this program can prove with, or a new one.
fn proving_key(store: &Store, stage: &Stage) -> Result<Key, Failure> {
    let size = NAMED_SIZES[0].size;
    for key in store.entries()?.into_iter().filter_map(|e| e.key.ok()) {
        let verifying = key.verifying().clone();
        if verifying.circuit.slots == size && open_prover(key).is_ok() {
            let (slots, dir) = (size.slots(), store.dir().display());
            stage.say(&format!(
                "a proving key for {slots} signers is there, in {dir}"
            ));
            return Key::new(verifying, store, false);
        }
    }
    stage.say("making a proving key, once: some 12 seconds of two cores");
    let work = WorkArgs {
        threads: None,
        max_memory: None,
        progress: Style::Auto,
    };
    let (key, _) = setup::make(store, size, &work)?;
    Key::new(key.verifying().clone(), store, true)
}

impl Key {
    fn new(verifying: VerifyingKey, store: &Store, was_made: bool) -> Result<Self, Failure> {
        let store = store.dir();
        let failed = |error| Failure::Read {
            name: store.display().to_string(),
            error,
        };
        Ok(Self {
            verifying,
            store: store.canonicalize().map_err(failed)?,
            was_made,
        })
    }
}

/// What everything here is run from: documents, keys and configurations in one directory.
struct Network<'a> {
    dir: &'a Path,
    key: &'a Key,
    program: Program,
    policy: Policy,
    scenario: Scenario,
}

/// The processes. Those that depend on others stop first.
struct Parts {
    service: Running,
    nodes: Vec<Running>,
    public: String,
}

impl<'a> Network<'a> {
    /// Writes what four validators and a service start from.
    ///
    /// The service speaks TLS unless a person is to open its page: browsers warn of a certificate
    /// that nobody else vouches for, and everything stays on loopback.
    fn found(args: &DemoArgs, dir: &'a Path, key: &'a Key, stage: &Stage) -> Result<Self, Failure> {
        let program = Program::this(dir)?;
        let put = |name: &str, bytes: &[u8]| {
            files::write(&dir.join(name), bytes, Access::Private, Existing::Keep)
        };
        let now = founding::now()?;
        let expiry = now.checked_add_ms(MONTH_MS).unwrap_or(now);
        let scenario = Scenario::new(u64::from(std::process::id()), TRADERS, expiry);
        put("ledger.json", scenario.genesis().to_json().as_bytes())?;
        // The words of a command are parted by spaces, which a path may hold.
        let words = format!(
            "init --validators {VALIDATORS} --dir net --name demo --slots {} --base-port {} \
             --ledger ledger.json --service --service-port 0 {}--keys",
            key.verifying.circuit.slots.slots(),
            free_ports()?,
            if args.exit { "--service-tls " } else { "" },
        );
        program.expect_with(&words, &[key.store.as_os_str()])?;
        let policy = Source::File(dir.join("net/public/policy.json")).document(Role::Given)?;
        stage.say(&format!(
            "{VALIDATORS} validators have keys and documents, in {}",
            dir.display()
        ));
        Ok(Self {
            dir,
            key,
            program,
            policy,
            scenario,
        })
    }

    fn anchor(&self) -> &TrustAnchor {
        &self.policy.anchor
    }

    /// Asks the service's public listener, whose certificate is in a file if it has one.
    fn client(&self, public: &str) -> Result<Client, Failure> {
        let certificate = self.dir.join("net/service/tls.pem.crt");
        let trust = certificate
            .exists()
            .then(|| tls::pinned(&Source::File(certificate)))
            .transpose()?;
        Client::trusting(public, None, trust.as_ref()).map_err(|e| Failure::Machine(e.to_string()))
    }

    fn start(&self, stage: &Stage, stop: &AtomicBool) -> Result<Parts, Failure> {
        let node = |i: u16| {
            let config = format!("net/nodes/node-{i}/node.toml");
            let arguments = format!("node --config {config} --new");
            self.program.start(&format!("node-{i}"), &arguments)
        };
        let mut nodes: Vec<Running> = (0..VALIDATORS).map(node).collect::<Result<_, _>>()?;
        wait("the validators to agree on a block", stop, || {
            nodes.iter_mut().try_for_each(Running::check)?;
            let status = "status --config net/nodes/node-0/node.toml";
            let (code, answer) = self.program.ask(status)?;
            let height = number(&answer["result"]["height"]);
            Ok((code == 0 && height >= 1).then_some(()))
        })?;
        stage.say("four validators run, and a block is final");
        let mut service = self
            .program
            .start("service", "serve --config net/service/serve.toml")?;
        let public = wait("the service", stop, || {
            service.check()?;
            let log = service.log();
            let line = log.lines().find_map(|line| line.strip_prefix("public: "));
            Ok(line.map(str::to_owned))
        })?;
        Ok(Parts {
            service,
            nodes,
            public,
        })
    }

    /// What a newcomer does with what the service hands out: verifies the newest proof, sees a
    /// changed one refused, and follows the chain from the anchor.
    fn check(&self, asked: &Asked, stage: &Stage) -> Result<Checked, Failure> {
        let bytes = asked.get("/v1/attestations/latest/binary")?;
        let source = |error| Failure::Decode {
            name: "the service's attestation".into(),
            error,
            role: Role::Judged,
        };
        let attestation = Attestation::from_file(&bytes).map_err(source)?;
        let mut ring = KeyRing::new();
        let prepared = self.key.verifying.clone().prepare();
        ring.insert(prepared.map_err(|error| Failure::Invalid(error.to_string()))?);
        let mut verify_seconds = f64::INFINITY;
        for _ in 0..CHECKS {
            let begun = Instant::now();
            let verdict = verify(&attestation, &self.policy, &ring);
            verify_seconds = verify_seconds.min(begun.elapsed().as_secs_f64());
            verdict.map_err(|error| Failure::Invalid(error.to_string()))?;
        }

        let write = |name: &str, bytes: &[u8]| {
            files::write(&self.dir.join(name), bytes, Access::Public, Existing::Keep)
        };
        write("latest.attestation", &bytes)?;
        let how = "--policy net/public/policy.json --key net/service/key.vk";
        let (code, _) = self
            .program
            .ask(&format!("verify latest.attestation {how}"))?;
        stage.say(&format!(
            "quorate verify: block {} is final, exit code {code}",
            attestation.header.height.get()
        ));
        let mut changed = attestation.clone();
        let mut root = *changed.header.payload_root.as_bytes();
        root[0] ^= 1;
        changed.header.payload_root = Digest::from_bytes(root);
        write("changed.attestation", &changed.to_file())?;
        let (refused, _) = self
            .program
            .ask(&format!("verify changed.attestation {how}"))?;
        stage.say(&format!(
            "the same with one bit changed: exit code {refused}"
        ));
        if code != 0 || refused != 1 {
            let what = "the program's verdicts are not the expected ones";
            return Err(Failure::Invalid(what.into()));
        }

        self.program
            .expect("light-client init --state client.json --policy net/public/policy.json")?;
        let answer: Json = serde_json::from_slice(&asked.get("/v1/light-client/updates")?)
            .map_err(|error| Failure::Machine(format!("the service's updates: {error}")))?;
        let updates = answer["updates"].as_array().cloned().unwrap_or_default();
        for (i, update) in updates.iter().enumerate() {
            let name = format!("update-{i}.json");
            write(&name, update.to_string().as_bytes())?;
            self.program.expect(&format!(
                "light-client update --state client.json --key net/service/key.vk {name}"
            ))?;
        }
        let client = self
            .program
            .expect("light-client status --state client.json")?;
        let client_height = number(&client["height"]);
        stage.say(&format!(
            "a light client went from the trust anchor to height {client_height}"
        ));
        Ok(Checked {
            proof_bytes: attestation.proof.encode().len(),
            attestation_bytes: bytes.len(),
            verify_seconds,
            client_height,
        })
    }

    fn report(
        &self,
        args: &DemoArgs,
        seen: &Seen,
        checked: &Checked,
        proving: &[f64],
        requests: &Sent,
    ) -> Report {
        let mut report = Report::new(
            Verdict::Done,
            "four validators finalised blocks, a service proved it, and a light client that knows \
             none of them followed",
        );
        let mut sorted = proving.to_vec();
        sorted.sort_by(f64::total_cmp);
        let median = sorted.get(sorted.len() / 2);
        let proved: Vec<String> = seen.proved.iter().map(u64::to_string).collect();
        report
            .fact("chain", self.anchor().header.chain_id.as_str())
            .fact("verifying key", self.key.verifying.digest().to_string())
            .fact("key made now", self.key.was_made)
            .fact("requests final", requests.took_effect + requests.refused)
            .fact("refused by the ledger", requests.refused)
            .fact("heights final", seen.last_final.to_string())
            .fact("heights proved", proved.join(", "))
            .fact("heights covered", seen.covered.to_string())
            .fact("in the log", seen.logged.to_string())
            .fact("proof bytes", checked.proof_bytes)
            .fact("attestation bytes", checked.attestation_bytes)
            .fact(
                "proving takes",
                median.map_or_else(|| "unknown".into(), |m| spoken(*m)),
            )
            .fact(
                "verifying takes",
                format!("{:.1} ms", checked.verify_seconds * 1e3),
            )
            .fact("light client at", checked.client_height.to_string())
            .fact("took", spoken(seen.seconds))
            .fact(
                "the verifier learned",
                [
                    "that more than two thirds of the committed set's power signed these blocks",
                    "the blocks' headers and the views in which they were signed",
                ]
                .map(Value::from)
                .into_iter()
                .collect::<Value>(),
            )
            .fact(
                "the verifier did not learn",
                [
                    "who signed, how many did, with what power",
                    "who could have signed: the set is behind a salted commitment",
                    "what was traded",
                ]
                .map(Value::from)
                .into_iter()
                .collect::<Value>(),
            );
        report.warn(setup::ONE_PARTY);
        match &args.dir {
            Some(dir) => report.next(format!(
                "quorate verify {dir}/latest.attestation --policy {dir}/net/public/policy.json \
                 --key {dir}/net/service/key.vk",
                dir = dir.display()
            )),
            None => report.next("quorate demo --dir demo keeps every file, logs included"),
        };
        report
    }
}

/// What a newcomer saw.
struct Checked {
    proof_bytes: usize,
    attestation_bytes: usize,
    verify_seconds: f64,
    client_height: u64,
}

/// What the service said of itself.
#[derive(Default)]
struct Seen {
    last_final: u64,
    covered: u64,
    logged: u64,
    proved: BTreeSet<u64>,
    seconds: f64,
}

/// Looks at the service until enough is seen, or the user has seen enough.
fn watch(
    seen: &mut Seen,
    enough: impl Fn(&Seen) -> bool,
    asked: &Asked,
    parts: &mut Parts,
    stop: &AtomicBool,
    stage: &Stage,
) -> Result<(), Failure> {
    let mut last = Instant::now();
    while !enough(seen) {
        thread::sleep(PAUSE);
        if stop.load(Ordering::Relaxed) {
            return Err(Failure::Interrupted);
        }
        parts.nodes.iter_mut().try_for_each(Running::check)?;
        parts.service.check()?;
        let status = asked.json("/v1/status")?;
        seen.last_final = number(&status["final"]["height"]);
        seen.covered = number(&status["covered"]["height"]);
        seen.logged = number(&status["finalityLog"]["size"]);
        seen.seconds = stage.0.elapsed().as_secs_f64();
        let proved = asked.proved()?.filter(|height| seen.proved.insert(*height));
        if let Some(height) = proved {
            last = Instant::now();
            let (covered, all) = (seen.covered, seen.last_final);
            stage.say(&format!(
                "height {height} is proved; {covered} of {all} final heights are covered"
            ));
        }
        if last.elapsed() > PATIENCE {
            let waited = PATIENCE.as_secs();
            return Err(Failure::Machine(format!(
                "nothing was proved for {waited} seconds: {}",
                parts.service.log().lines().last().unwrap_or_default()
            )));
        }
    }
    Ok(())
}

/// The service's public listener.
struct Asked {
    client: Client,
    runtime: Runtime,
}

impl Asked {
    fn ask(&self, path: &str) -> Result<(u16, Vec<u8>), Failure> {
        let answer = self.runtime.block_on(self.client.get(path));
        let (status, body) = answer.map_err(|error| Failure::Machine(error.to_string()))?;
        Ok((status.as_u16(), body.to_vec()))
    }

    fn get(&self, path: &str) -> Result<Vec<u8>, Failure> {
        match self.ask(path)? {
            (200, body) => Ok(body),
            (status, body) => Err(Failure::Machine(format!(
                "{path}: {status} {}",
                String::from_utf8_lossy(&body)
            ))),
        }
    }

    fn json(&self, path: &str) -> Result<Json, Failure> {
        serde_json::from_slice(&self.get(path)?)
            .map_err(|error| Failure::Machine(format!("{path}: {error}")))
    }

    /// The newest proved height.
    fn proved(&self) -> Result<Option<u64>, Failure> {
        let path = "/v1/attestations/latest";
        match self.ask(path)? {
            (404, _) => Ok(None),
            (200, body) => Ok(serde_json::from_slice::<Json>(&body)
                .ok()
                .map(|found| number(&found["header"]["height"]))),
            (status, _) => Err(Failure::Machine(format!("{path}: {status}"))),
        }
    }
}

/// What became of the requests.
#[derive(Clone, Copy, Default)]
struct Sent {
    took_effect: u64,
    refused: u64,
}

/// Option trades, sent one batch after another for as long as there are any.
struct Traffic {
    sent: Arc<Mutex<Sent>>,
    thread: JoinHandle<()>,
}

impl Traffic {
    fn start(network: &Network<'_>, stop: Arc<AtomicBool>) -> Result<Self, Failure> {
        let header = &network.anchor().header;
        let all = network
            .scenario
            .requests(header.digest(), header.time, REQUESTS);
        let program = Program::this(network.dir)?;
        let file = network.dir.join("requests.json");
        let sent = Arc::new(Mutex::new(Sent::default()));
        let count = Arc::clone(&sent);
        let thread = thread::spawn(move || {
            for batch in all.requests.chunks(AT_A_TIME) {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                let batch = Requests {
                    chain: all.chain,
                    requests: batch.to_vec(),
                };
                let json = batch.to_json();
                let written =
                    files::write(&file, json.as_bytes(), Access::Private, Existing::Replace);
                let submit = "submit --config net/nodes/node-1/node.toml requests.json";
                match written.and_then(|()| program.ask(submit)) {
                    Ok((_, answer)) => {
                        let mut count = locked(&count);
                        count.took_effect += number(&answer["result"]["tookEffect"]);
                        count.refused += number(&answer["result"]["refused"]);
                    }
                    Err(error) => {
                        eprintln!("warning: requests are sent no more: {error}");
                        return;
                    }
                }
                thread::sleep(PAUSE);
            }
        });
        Ok(Self { sent, thread })
    }

    /// Ends after the batch that is on its way.
    fn finish(self, stop: &AtomicBool) -> Sent {
        stop.store(true, Ordering::Relaxed);
        let _ = self.thread.join();
        *locked(&self.sent)
    }
}

fn locked(sent: &Mutex<Sent>) -> MutexGuard<'_, Sent> {
    sent.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A number, or a number as decimal text; anything else is none, 0.
fn number(value: &Json) -> u64 {
    let text = || value.as_str()?.parse().ok();
    value.as_u64().or_else(text).unwrap_or_default()
}

/// Asks again and again, until there is an answer.
fn wait<T>(
    what: &str,
    stop: &AtomicBool,
    mut ask: impl FnMut() -> Result<Option<T>, Failure>,
) -> Result<T, Failure> {
    let begun = Instant::now();
    loop {
        if let Some(answer) = ask()? {
            return Ok(answer);
        }
        if stop.load(Ordering::Relaxed) {
            return Err(Failure::Interrupted);
        }
        if begun.elapsed() > PATIENCE {
            let waited = PATIENCE.as_secs();
            return Err(Failure::Machine(format!(
                "waited {waited} seconds for {what}"
            )));
        }
        thread::sleep(PAUSE);
    }
}

/// The first of four ports in a row that nobody listens on.
fn free_ports() -> Result<u16, Failure> {
    let is_free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
    (26600..60_000)
        .step_by(usize::from(VALIDATORS))
        .find(|base| (0..VALIDATORS).all(|i| is_free(base + i)))
        .ok_or_else(|| Failure::Machine("no four ports in a row are free".into()))
}

/// How long each proof took, by the times in the service's log.
fn proving_seconds(log: &str) -> Vec<f64> {
    let mut begun = None;
    let mut taken = Vec::new();
    for line in log.lines() {
        let Some(at) = time_of_day(line) else {
            continue;
        };
        if line.contains(" proving ") {
            begun = Some(at);
        } else if line.contains(" proved ") {
            taken.extend(begun.take().map(|begun| (at - begun).rem_euclid(86_400.0)));
        }
    }
    taken
}

/// Seconds since midnight of a line that begins with an RFC 3339 time.
fn time_of_day(line: &str) -> Option<f64> {
    let clock = line.split_once('T')?.1.split_once('Z')?.0;
    let mut parts = clock.split(':');
    let mut next = || parts.next()?.parse::<f64>().ok();
    Some((next()? * 60.0 + next()?) * 60.0 + next()?)
}

#[cfg(test)]
mod tests {
    use super::proving_seconds;

    #[test]
    fn proofs_are_timed_by_the_log() {
        let log = "public: http://127.0.0.1:1\n\
            2026-11-26T23:59:58.500000Z  INFO proving height=1\n\
            2026-11-27T00:00:01.000000Z  INFO proved height=1\n\
            2026-11-27T00:00:02.000000Z  INFO proving height=5\n\
            2026-11-27T00:00:03.000000Z  WARN an attempt failed\n";
        assert_eq!(proving_seconds(log), [2.5]);
    }
}
