//! `quorate approve`: a validator's signature under a change of validators or parameters.

use ed25519_dalek::Signer as _;
use quorate_node::app::{Approval, Operation, Requests, SignatureBytes};
use quorate_pbft::request::ClientKey;
use quorate_verifier::file::FileType;
use quorate_verifier::set::ValidatorSet;
use quorate_verifier::trust::TrustAnchor;

use super::link;
use crate::args::ApproveArgs;
use crate::failure::{Failure, Role};
use crate::files::{self, Access, Existing, Source};
use crate::keys;
use crate::output::{Report, Verdict};

pub(super) fn run(args: &ApproveArgs) -> Result<Report, Failure> {
    let config = link::config(&args.config)?;
    let paths = &config.keys;
    let key = link::private_key(&paths.consensus, paths.consensus_passphrase.as_deref())?;
    let file = |path: &std::path::Path| Source::File(path.into());
    let anchor: TrustAnchor = file(&config.documents.anchor).document(Role::Given)?;
    let set = match &args.set {
        Some(set) => set.clone(),
        None => file(&config.documents.set),
    };
    let set: ValidatorSet = set.document(Role::Given)?;
    let place = set
        .index_of(&keys::public(&key))
        .ok_or_else(|| Failure::usage("this consensus key is not in the set that is in force"))?;

    let mut requests: Requests = args.requests.document(Role::Given)?;
    let chain = anchor.header.digest();
    requests
        .bind(chain)
        .map_err(|error| Failure::usage(error.to_string()))?;
    let mut report = Report::new(Verdict::Done, "approved");
    let mut count = 0usize;
    for (index, draft) in requests.requests.iter_mut().enumerate() {
        if !matches!(draft.operation, Operation::Change { .. }) {
            continue;
        }
        let wrong = |what: &str| Failure::usage(format!("request {index} {what}"));
        if draft.signature.is_some() {
            return Err(wrong(
                "is signed by its client already: approvals come first",
            ));
        }
        let (Some(client), Some(sequence)) = (draft.client, draft.sequence) else {
            return Err(wrong(
                "has no sender and sequence yet: an approval is bound to both (submit --draft)",
            ));
        };
        let change = draft
            .operation
            .change(ClientKey(client.0), sequence)
            .ok_or_else(|| wrong("carries no change"))?;
        let signature = key.sign(&change.signed_bytes(&chain));
        let Operation::Change {
            validators,
            parameters,
            approvals,
        } = &mut draft.operation
        else {
            continue;
        };
        approvals.retain(|approval| approval.validator != place);
        approvals.push(Approval {
            validator: place,
            signature: SignatureBytes(signature.to_bytes()),
        });
        approvals.sort_unstable_by_key(|approval| approval.validator);
        count += 1;
        report
            .fact("approvals", approvals.len())
            .fact("new set", validators.as_ref().map(ToString::to_string))
            .fact(
                "new parameters",
                parameters.as_ref().map(|p| p.digest().to_string()),
            );
    }
    if count == 0 {
        return Err(Failure::usage(format!(
            "{}: no request carries a change",
            args.requests.name()
        )));
    }
    let json = requests.to_json() + "\n";
    files::write(&args.out, json.as_bytes(), Access::Private, Existing::Keep)?;
    report.fact("file", args.out.display().to_string());
    report.not_checked(
        "whether the change is one that you want: inspect the set of that commitment first",
    );
    Ok(report)
}
