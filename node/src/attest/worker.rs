//! A worker: asks a service for a job, has it proved, hands the proof in.
//!
//! The proof is made by whatever implements [`Prove`]: for real a child process at low priority,
//! so that proving never stalls the lease, and can be killed. The lease is renewed while the proof
//! is under way; a lease that is lost kills the proof.

use std::future::Future;
use std::process::Stdio;
use std::time::Duration;

use quorate_verifier::attestation::Attestation;
use quorate_verifier::certificate::SignedHeader;
use quorate_verifier::file::FileType;
use quorate_verifier::json;
use quorate_verifier::primitives::Digest;
use quorate_verifier::rule::QuorumRule;
use quorate_verifier::set::ValidatorSet;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::watch;
use warp::http::StatusCode;

use super::client::{Client, ClientError};
use super::store::{Failure, LeaseToken};

/// With nothing to do, the service is asked again after this time.
const IDLE: Duration = Duration::from_millis(500);
/// With the service not answering, it is asked again after this time.
const UNREACHABLE: Duration = Duration::from_secs(2);
/// Longest line of a prover process.
const LINE_MAX_BYTES: u64 = 1 << 20;

/// What is to be proved. Names signers.
#[derive(Clone, Debug)]
pub struct ProofJob {
    /// Header and certificate.
    pub block: SignedHeader,
    /// The set that signed it.
    pub set: ValidatorSet,
    /// The rule.
    pub rule: QuorumRule,
    /// Digest of the verifying key.
    pub key: Digest,
}

/// Makes proofs.
pub trait Prove: Send {
    /// Proves, and says each phase before it starts. A dropped call is a proof given up.
    fn prove(
        &mut self,
        job: &ProofJob,
        phase: watch::Sender<String>,
    ) -> impl Future<Output = Result<Attestation, Failure>> + Send;
}

/// A claimed job, as the service sends it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Leased {
    lease: LeaseToken,
    lease_ms: u64,
    key: String,
    rule: QuorumRule,
    block: String,
    set: String,
}

/// Works until `stop` says so. A service that is away is asked again and again.
///
/// # Errors
/// [`NotAllowed`] when the service does not take the token: it was revoked, or has ended.
pub async fn work(
    client: &Client,
    name: &str,
    prover: &mut impl Prove,
    mut stop: watch::Receiver<bool>,
) -> Result<(), NotAllowed> {
    while !*stop.borrow() {
        let pause = tokio::select! {
            step = step(client, name, prover, stop.clone()) => match step {
                Ok(Step::Worked) => Duration::ZERO,
                Ok(Step::Nothing) => IDLE,
                Ok(Step::NotAllowed) => return Err(NotAllowed),
                Err(error) => {
                    tracing::warn!(%error, "the service does not answer");
                    UNREACHABLE
                }
            },
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = stop.changed() => {}
        }
    }
    Ok(())
}

/// The service refuses the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the service does not take this token for work: it is no operator's, was revoked or ended")]
pub struct NotAllowed;

enum Step {
    Worked,
    Nothing,
    NotAllowed,
}

/// One job, if there is one.
async fn step(
    client: &Client,
    name: &str,
    prover: &mut impl Prove,
    mut stop: watch::Receiver<bool>,
) -> Result<Step, ClientError> {
    let claim = json!({"worker": name}).to_string();
    let (status, body) = client.post("/v1/worker/claim", claim).await?;
    if [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN].contains(&status) {
        return Ok(Step::NotAllowed);
    }
    if status == StatusCode::NO_CONTENT {
        return Ok(Step::Nothing);
    }
    let leased: Leased = match serde_json::from_slice(&body) {
        Ok(leased) if status == StatusCode::OK => leased,
        _ => {
            let body = String::from_utf8_lossy(&body).into_owned();
            tracing::error!(%status, body, "a job was asked for");
            return Ok(Step::Nothing);
        }
    };
    let lease = leased.lease;
    let job = match job_of(&leased) {
        Ok(job) => job,
        Err(reason) => {
            let failure = Failure {
                permanent: true,
                reason,
            };
            report(client, &lease, &failure).await?;
            return Ok(Step::Worked);
        }
    };
    let height = job.block.header.height.get();
    tracing::info!(height, "proving");
    let (phase, phases) = watch::channel(String::new());
    let outcome = {
        let mut proving = std::pin::pin!(prover.prove(&job, phase));
        let every = Duration::from_millis(leased.lease_ms / 4).max(Duration::from_millis(100));
        let mut phases = phases;
        loop {
            // A renewal for each phase, and one in good time.
            tokio::select! {
                outcome = &mut proving => break Some(outcome),
                () = tokio::time::sleep(every) => {}
                Ok(()) = phases.changed() => {}
                _ = stop.changed() => break None,
            }
            let now = phases.borrow_and_update().clone();
            let renew = json!({"lease": lease, "phase": (!now.is_empty()).then_some(&now)});
            let renewed = client.post("/v1/worker/renew", renew.to_string()).await;
            if let Ok((StatusCode::CONFLICT, _)) = renewed {
                tracing::warn!(height, "the lease is lost; the proof is given up");
                return Ok(Step::Worked);
            }
        }
    };
    match outcome {
        None => {
            let release = json!({"lease": lease}).to_string();
            client.post("/v1/worker/release", release).await?;
        }
        Some(Err(failure)) => report(client, &lease, &failure).await?,
        Some(Ok(attestation)) => hand_in(client, &lease, &attestation).await?,
    }
    Ok(Step::Worked)
}

async fn report(client: &Client, lease: &LeaseToken, failure: &Failure) -> Result<(), ClientError> {
    tracing::warn!(reason = failure.reason, "no proof");
    let fail = json!({"lease": lease, "failure": failure}).to_string();
    client.post("/v1/worker/fail", fail).await.map(|_| ())
}

/// Hands a proof in, again and again while the service is away: it took long to make.
async fn hand_in(
    client: &Client,
    lease: &LeaseToken,
    attestation: &Attestation,
) -> Result<(), ClientError> {
    let height = attestation.header.height.get();
    let finish = json!({"lease": lease, "attestation": hex::encode(attestation.to_file())});
    let mut attempts = 0;
    loop {
        match client.post("/v1/worker/finish", finish.to_string()).await {
            Ok((status, _)) if status.is_success() => {
                tracing::info!(height, "proved");
                return Ok(());
            }
            Ok((StatusCode::SERVICE_UNAVAILABLE, _)) | Err(_) if attempts < 20 => {
                attempts += 1;
                tokio::time::sleep(UNREACHABLE).await;
            }
            Ok((status, body)) => {
                let body = String::from_utf8_lossy(&body).into_owned();
                tracing::error!(height, %status, body, "the proof was not taken");
                return Ok(());
            }
            Err(error) => return Err(error),
        }
    }
}

fn job_of(leased: &Leased) -> Result<ProofJob, String> {
    let file = |text: &str| hex::decode(text).map_err(|error| error.to_string());
    let words = |error: quorate_verifier::encoding::DecodeError| error.to_string();
    Ok(ProofJob {
        block: SignedHeader::from_file(&file(&leased.block)?).map_err(words)?,
        set: ValidatorSet::from_file(&file(&leased.set)?).map_err(words)?,
        rule: leased.rule,
        key: Digest::from_bytes(json::parse_hex(&leased.key)?),
    })
}

/// What a prover process is asked, as one line of JSON.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    /// A signed header's file, in hex.
    pub block: String,
    /// A validator set's file, in hex.
    pub set: String,
    /// The rule.
    pub rule: QuorumRule,
    /// Digest of the verifying key, in hex.
    pub key: String,
}

/// What it says, each as one line of JSON; the last two end an order.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Said {
    /// A phase begins.
    Phase(String),
    /// An attestation's file, in hex.
    Attestation(String),
    /// No proof.
    Failure(Failure),
}

/// A prover in a process of its own, started when it is needed and kept for the next job.
pub struct ProverProcess {
    command: Box<dyn FnMut() -> Command + Send>,
    running: Option<Running>,
}

struct Running {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl ProverProcess {
    /// A process that this command starts: it reads an [`Order`] a line, and writes [`Said`].
    pub fn new(command: impl FnMut() -> Command + Send + 'static) -> Self {
        Self {
            command: Box::new(command),
            running: None,
        }
    }

    fn start(&mut self) -> std::io::Result<Running> {
        let mut child = (self.command)()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(std::io::Error::other("a process without pipes"));
        };
        Ok(Running {
            child,
            input,
            output: BufReader::new(output),
        })
    }
}

impl Running {
    async fn line(&mut self) -> std::io::Result<Said> {
        use tokio::io::AsyncReadExt;
        let mut line = Vec::new();
        let mut limited = (&mut self.output).take(LINE_MAX_BYTES);
        limited.read_until(b'\n', &mut line).await?;
        if line.is_empty() {
            let status = self.child.wait().await?;
            return Err(std::io::Error::other(format!("the prover ended: {status}")));
        }
        Ok(serde_json::from_slice(&line)?)
    }

    async fn order(&mut self, order: &str) -> std::io::Result<()> {
        self.input.write_all(order.as_bytes()).await?;
        self.input.write_all(b"\n").await?;
        self.input.flush().await
    }
}

impl Prove for ProverProcess {
    async fn prove(
        &mut self,
        job: &ProofJob,
        phase: watch::Sender<String>,
    ) -> Result<Attestation, Failure> {
        let transient = |error: &dyn std::fmt::Display| Failure {
            permanent: false,
            reason: error.to_string(),
        };
        let order = Order {
            block: hex::encode(job.block.to_file()),
            set: hex::encode(job.set.to_file()),
            rule: job.rule,
            key: job.key.to_string(),
        };
        let order = serde_json::to_string(&order).map_err(|error| transient(&error))?;
        // Taken out for as long as an order is under way: a call that is dropped drops the
        // process, which ends with it.
        let mut running = match self.running.take() {
            Some(running) => running,
            None => self.start().map_err(|error| transient(&error))?,
        };
        running
            .order(&order)
            .await
            .map_err(|error| transient(&error))?;
        loop {
            match running.line().await.map_err(|error| transient(&error))? {
                Said::Phase(name) => {
                    let _ = phase.send(name);
                }
                Said::Failure(failure) => {
                    self.running = Some(running);
                    return Err(failure);
                }
                Said::Attestation(file) => {
                    let bytes = hex::decode(file).map_err(|error| transient(&error))?;
                    let made = Attestation::from_file(&bytes).map_err(|error| transient(&error))?;
                    self.running = Some(running);
                    return Ok(made);
                }
            }
        }
    }
}

/// One line of JSON for a pipe.
pub fn line(value: &impl Serialize) -> String {
    let value: Value = serde_json::to_value(value).unwrap_or_default();
    value.to_string() + "\n"
}
