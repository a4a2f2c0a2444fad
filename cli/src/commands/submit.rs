//! `quorate submit`: sends signed requests and waits until each is final and executed.
//!
//! A request is known by client and sequence, and executed once however often it is sent. So a
//! file that was submitted in part, by a process that was killed or to a node that was, is simply
//! submitted again.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use quorate_node::app::{Executed, Outcome as LedgerOutcome, Requests};
use quorate_node::shell::clients::{Answer, ClientError, ClientLink, OUTSTANDING, Outcome, Reply};
use quorate_node::shell::store::request_digest;
use quorate_pbft::limits::REQUESTS_PER_CLIENT;
use quorate_pbft::request::{ClientKey, Request};
use quorate_verifier::file::FileType;
use quorate_verifier::primitives::{Digest, Height};
use quorate_verifier::signature::VoteKey;

use super::link::{self, Target};
use crate::args::SubmitArgs;
use crate::failure::{Failure, Role};
use crate::files::{self, Access, Existing};
use crate::keys;
use crate::output::{Report, Verdict};
use crate::value::Value;

/// Between two tries to reach the node, or to place a request that it has no room for.
const PAUSE: Duration = Duration::from_millis(200);
/// Refusals that the answer shows; `--outcomes` has all.
const REFUSALS_SHOWN: usize = 20;

pub(super) fn run(args: &SubmitArgs) -> Result<Report, Failure> {
    let target = Target::of(&args.link)?;
    let mut requests: Requests = args.requests.document(Role::Given)?;
    let runtime = link::runtime(1)?;
    if let Some(key) = &args.key {
        let (key, _) = keys::load_secret(key, args.passphrase_file.as_ref())?;
        runtime.block_on(assign(&target, &mut requests, &key))?;
        if !args.draft {
            requests.sign(&key).map_err(wrong)?;
        }
    }
    if let Some(path) = &args.signed {
        let json = requests.to_json() + "\n";
        files::write(path, json.as_bytes(), Access::Private, Existing::Keep)?;
    }
    if args.draft {
        let count = requests.requests.len();
        let summary = format!("gave {count} requests a sender and sequences; nothing was sent");
        return Ok(Report::new(Verdict::Done, summary));
    }
    let signed = requests
        .signed(&target.chain)
        .map_err(|error| Failure::usage(format!("{}: {error}", args.requests.name())))?;
    let mut run = Submission::new(signed);
    let patience = Duration::from_secs(args.patience);
    runtime.block_on(run.run(&target, patience))?;
    if let Some(path) = &args.outcomes {
        let lines: String = run.done.values().map(Done::line).collect();
        files::write(path, lines.as_bytes(), Access::Private, Existing::Keep)?;
    }
    Ok(run.report())
}

fn wrong(error: quorate_node::app::RequestError) -> Failure {
    Failure::usage(error.to_string())
}

/// Gives whatever has no sender this client's next sequences.
async fn assign(
    target: &Target,
    requests: &mut Requests,
    key: &ed25519_dalek::SigningKey,
) -> Result<(), Failure> {
    let public: VoteKey = keys::public(key);
    let client = ClientKey(*public.as_bytes());
    let last = target.connect().await?.sequence(client).await?;
    let last = last.ok_or_else(|| {
        Failure::Refused(format!(
            "the ledger knows no client with the key {}",
            keys::hex(&public)
        ))
    })?;
    requests.bind(target.chain).map_err(wrong)?;
    requests
        .assign(&public, last.saturating_add(1))
        .map_err(wrong)?;
    Ok(())
}

/// What became of one request.
struct Done {
    request: Arc<Request>,
    outcome: Result<(Height, u32, LedgerOutcome), String>,
}

impl Done {
    /// Whether it did what it asks for.
    fn took_effect(&self) -> bool {
        matches!(&self.outcome, Ok((_, _, o)) if matches!(o.result, Executed::Done(_)))
    }

    fn line(&self) -> String {
        let client = hex::encode(self.request.client.0);
        let sequence = self.request.sequence.to_string();
        let value = match &self.outcome {
            Ok((height, index, outcome)) => serde_json::json!({
                "client": client,
                "sequence": sequence,
                "height": height.get().to_string(),
                "index": index,
                "result": outcome.result,
            }),
            Err(refused) => serde_json::json!({
                "client": client,
                "sequence": sequence,
                "notTaken": refused,
            }),
        };
        format!("{value}\n")
    }

    fn words(&self) -> String {
        let why = match &self.outcome {
            Ok((_, _, outcome)) => match &outcome.result {
                Executed::Refused(rejection) => rejection.to_string(),
                Executed::Done(_) => "done".into(),
            },
            Err(refused) => refused.clone(),
        };
        format!("sequence {}: {why}", self.request.sequence)
    }
}

/// Requests on their way.
struct Submission {
    waiting: VecDeque<(usize, Arc<Request>)>,
    sent: BTreeMap<Digest, (usize, Arc<Request>)>,
    of_client: BTreeMap<ClientKey, usize>,
    done: BTreeMap<usize, Done>,
    progress: Instant,
}

impl Submission {
    fn new(requests: Vec<Request>) -> Self {
        let waiting = requests.into_iter().map(Arc::new).enumerate().collect();
        Self {
            waiting,
            sent: BTreeMap::new(),
            of_client: BTreeMap::new(),
            done: BTreeMap::new(),
            progress: Instant::now(),
        }
    }

    /// Until all are done, over as many links as it takes.
    async fn run(&mut self, target: &Target, patience: Duration) -> Result<(), Failure> {
        loop {
            let ended = match target.connect().await {
                Ok(mut link) => self.run_on(&mut link, patience).await,
                Err(error) => Err(error),
            };
            match ended {
                Ok(()) => return Ok(()),
                Err(error) if self.progress.elapsed() >= patience => {
                    let left = self.waiting.len() + self.sent.len();
                    return Err(Failure::Machine(format!(
                        "{left} requests have no outcome yet: {error}. Submit the same signed \
                         file again; what was executed is not executed twice"
                    )));
                }
                Err(_) => {
                    self.recall();
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    /// What was sent over a link that is gone waits again, in the order of the file.
    fn recall(&mut self) {
        self.of_client.clear();
        let mut all: Vec<_> = std::mem::take(&mut self.sent).into_values().collect();
        all.extend(self.waiting.drain(..));
        all.sort_unstable_by_key(|(place, _)| *place);
        self.waiting = all.into();
    }

    async fn run_on(
        &mut self,
        link: &mut ClientLink,
        patience: Duration,
    ) -> Result<(), ClientError> {
        while !self.waiting.is_empty() || !self.sent.is_empty() {
            self.send_some(link).await?;
            let left = patience.saturating_sub(self.progress.elapsed());
            match link.next(left.max(PAUSE)).await? {
                Reply::Answer(answer) => self.take(answer).await,
                _ => return Err(ClientError::Reply("to a question nobody asked".into())),
            }
        }
        Ok(())
    }

    /// Sends what the node has room for: a client's requests in order, not too far ahead.
    async fn send_some(&mut self, link: &mut ClientLink) -> Result<(), ClientError> {
        let per_client = usize::try_from(REQUESTS_PER_CLIENT).unwrap_or(usize::MAX) / 2;
        let mut later = VecDeque::new();
        while let Some((place, request)) = self.waiting.pop_front() {
            if self.sent.len() >= OUTSTANDING / 2 {
                later.push_back((place, request));
                break;
            }
            let count = self.of_client.entry(request.client).or_default();
            if *count >= per_client {
                later.push_back((place, request));
                continue;
            }
            *count += 1;
            link.submit(&request).await?;
            self.sent.insert(request_digest(&request), (place, request));
        }
        later.extend(self.waiting.drain(..));
        self.waiting = later;
        Ok(())
    }

    async fn take(&mut self, answer: Answer) {
        let Some((place, request)) = self.sent.remove(&answer.digest) else {
            return; // an answer to what was sent twice
        };
        if let Some(count) = self.of_client.get_mut(&request.client) {
            *count = count.saturating_sub(1);
        }
        let outcome = match answer.outcome {
            Outcome::Executed {
                height,
                index,
                outcome,
                ..
            } => LedgerOutcome::from_leaf(&outcome)
                .map(|outcome| (height, index, outcome))
                .map_err(|error| format!("the node's outcome does not decode: {error}")),
            Outcome::Refused(why) => Err(why),
            Outcome::Busy => {
                self.waiting.push_front((place, request));
                return tokio::time::sleep(PAUSE).await;
            }
        };
        self.progress = Instant::now();
        self.done.insert(place, Done { request, outcome });
    }

    fn report(&self) -> Report {
        let effective = self.done.values().filter(|d| d.took_effect()).count();
        let executed: Vec<_> = self
            .done
            .values()
            .filter_map(|done| done.outcome.as_ref().ok())
            .collect();
        let heights = executed.iter().map(|(height, ..)| height.get());
        let (all, refused) = (self.done.len(), executed.len() - effective);
        let not_taken = all - executed.len();
        let (verdict, summary) = if effective == all {
            (Verdict::Final, format!("all {all} requests are final"))
        } else {
            let summary = format!(
                "of {all} requests {effective} took effect, {refused} are final but refused by the \
                 ledger, {not_taken} were not taken"
            );
            (Verdict::PolicyFailed, summary)
        };
        let mut report = Report::new(verdict, summary);
        report
            .fact("requests", all)
            .fact("took effect", effective)
            .fact("refused", refused)
            .fact("not taken", not_taken);
        if let (Some(first), Some(last)) = (heights.clone().min(), heights.max()) {
            report
                .fact("first height", first.to_string())
                .fact("last height", last.to_string());
        }
        let ineffective = self.done.values().filter(|done| !done.took_effect());
        let shown: Vec<_> = ineffective.map(Done::words).take(REFUSALS_SHOWN).collect();
        if !shown.is_empty() {
            report.fact("refusals", shown.into_iter().collect::<Value>());
        }
        report.not_checked("proofs of the outcomes: the node's word was taken");
        report
    }
}
