//! `quorate status`.

use super::link::{self, Target};
use crate::args::StatusArgs;
use crate::failure::Failure;
use crate::output::{Report, Verdict};
use crate::value::Value;

pub(super) fn run(args: &StatusArgs) -> Result<Report, Failure> {
    let target = Target::of(&args.link)?;
    let status = link::runtime(1)?.block_on(async {
        let mut node = target.connect().await?;
        node.status().await
    })?;
    let reached = status.peers.iter().filter(|p| p.reached && p.heard).count();
    let summary = format!(
        "{} is at height {}, {reached} of {} peers connected",
        status.name,
        status.height,
        status.peers.len()
    );
    let mut report = Report::new(Verdict::Done, summary);
    let peer = |peer: &quorate_node::shell::status::PeerStatus| {
        Value::members([
            ("name", peer.name.as_str().into()),
            ("reached", peer.reached.into()),
            ("heard", peer.heard.into()),
            ("sent", peer.sent.into()),
            ("received", peer.received.into()),
            ("dropped", peer.dropped.into()),
            ("queued", peer.queued.into()),
            ("overlooked", peer.overlooked.into()),
            ("faults", peer.faults.into()),
        ])
    };
    report
        .fact("name", status.name.as_str())
        .fact("chain", status.chain.as_str())
        .fact("height", status.height.to_string())
        .fact("header", status.header.as_str())
        .fact("time", status.time.as_str())
        .fact("view", status.view)
        .fact("primary", status.primary.as_str())
        .fact("changing view", status.changing_view)
        .fact("waiting requests", status.waiting_requests)
        .fact("voting", status.voting.as_str())
        .fact("evidence", status.evidence);
    if let Some(certificate) = &status.certificate {
        report
            .fact("certificate view", certificate.view)
            .fact("certificate votes", certificate.votes)
            .fact("certificate late votes", certificate.late);
    }
    report
        .fact("uptime s", status.uptime_s)
        .fact("peers", status.peers.iter().map(peer).collect::<Value>());
    if status.evidence > 0 {
        report.warn("a validator has signed twice: see the directory evidence beside the data");
    }
    Ok(report)
}
