//! What the driver tells whoever looks on.

use quorate_pbft::app::App;
use quorate_pbft::log::Storage;
use quorate_pbft::schedule;
use quorate_verifier::json;

use super::Driver;
use crate::shell::signer::Past;
use crate::shell::status::{Progress, Status};

impl<A: App, D: Storage> Driver<A, D> {
    /// Tells whoever looks on where things stand.
    pub(super) fn tell(&self) {
        let tip = self.core.chain().tip();
        let (height, view) = (self.core.height(), self.core.view());
        let primary = tip.set.get(schedule::primary(&tip.set, height, view));
        let machines = self.links.parties().machines();
        let mut certificate = self.certificate.clone();
        if let (Some(known), Some(votes)) = (&mut certificate, self.core.last_votes()) {
            known.late = votes.saturating_sub(known.votes);
            known.votes = votes;
        }
        let primary = primary.and_then(|p| machines.iter().find(|m| m.consensus_key == p.key));
        let own = self.links.parties().own();
        let status = Status {
            name: self.links.name(own),
            chain: tip.header.chain_id.as_str().into(),
            height: tip.header.height.get(),
            header: tip.digest.to_string(),
            time: json::format_time(tip.header.time),
            view: view.get(),
            primary: primary.map_or("unknown".into(), |m| m.name.to_string()),
            changing_view: self.core.is_changing(),
            waiting_requests: self.core.pending(),
            voting: self.voting().into(),
            evidence: self.core.evidence().len(),
            certificate,
            peers: Vec::new(),
            uptime_s: self.started.elapsed().as_secs(),
        };
        self.figures.height.set(gauge(tip.header.height.get()));
        self.figures.view.set(gauge(view.get()));
        self.figures.waiting.set(gauge(self.core.pending() as u64));
        self.figures.peers.set(gauge(self.links.connected() as u64));
        let height = tip.header.height;
        self.progress
            .send_replace(Some(Progress { height, status }));
    }

    pub(super) fn voting(&self) -> &'static str {
        let member = self.core.chain().tip().set.index_of(self.signer.key());
        if member.is_none() {
            "no: this machine's key is not in the validator set"
        } else if self.hold.is_held() {
            "not yet: it waits to hear from a quorum, and to have the blocks they have"
        } else if self.signer.past() == Past::Unknown && self.signer.mark().is_none() {
            "not yet: it rejoins after its memory was lost"
        } else {
            "yes"
        }
    }
}

fn gauge(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
