//! What clients and operators do: requests, changes of the set, openings.

use std::sync::Arc;

use quorate_verifier::genesis::Parameters;
use quorate_verifier::set::ValidatorSet;

use super::{OUTSTANDING, RETRY_MS, What, World};
use crate::app::Change;
use crate::core::Input;
use crate::defect::Build;
use crate::request::Request;
use crate::sim::keys::{Crypto, KeyId, client_key, public, set_of_members};
use crate::sim::workload::{Ask, Workload};

impl<C: Crypto, B: Build + Clone, W: Workload> World<C, B, W> {
    pub(super) fn client(&mut self, client: usize) {
        let key = client_key(client);
        let done = self.oracle.last_sequence(&key);
        let next = self.next_sequence[client];
        let node = self.client_rng.place(self.nodes.len());
        if next <= done + OUTSTANDING && !self.healed_and_quiet() {
            let ask = Ask {
                client,
                sequence: next,
                chain: self.genesis.genesis_digest(),
                app: &self.oracle.reference,
                rng: &mut self.client_rng,
            };
            let body = self.workload.request(ask);
            self.next_sequence[client] += 1;
            self.submit(node, client, next, body);
            let wait = 1 + self.client_rng.below(2 * self.setup.request_ms);
            return self.schedule(wait, What::Client { client });
        }
        let submitted = |sequence| self.oracle.submitted.get(&(key, sequence)).cloned();
        let waiting = (done + 1..next).filter_map(submitted);
        let waiting: Vec<_> = waiting.map(|request| (None, request)).collect();
        if !waiting.is_empty() {
            self.input(node, Input::Requests(waiting));
        }
        self.schedule(RETRY_MS, What::Client { client });
    }

    /// Seeds' worlds take no new requests once they are healed; those made by hand do.
    pub(super) fn healed_and_quiet(&self) -> bool {
        self.healed && self.quiet
    }

    /// A client signs a request and gives it to a node.
    pub fn submit(&mut self, node: usize, client: usize, sequence: u64, body: Vec<u8>) {
        let request = self.request(client, sequence, body);
        self.oracle
            .submitted
            .insert((request.client, sequence), request.clone());
        self.next_sequence[client] = self.next_sequence[client].max(sequence + 1);
        self.input(node, Input::Requests(vec![(None, request)]));
    }

    /// A signed request, not given to anybody.
    pub fn request(&self, client: usize, sequence: u64, body: Vec<u8>) -> Arc<Request> {
        let (key, chain) = (client_key(client), self.genesis.genesis_digest());
        let bytes = Request::signed_bytes(&chain, &key, sequence, &body);
        let signature = self.crypto.sign(KeyId::client(client), &bytes);
        Arc::new(Request {
            client: key,
            sequence,
            body,
            signature,
        })
    }

    /// The first client submits a change to a set with the spare nodes in it, approved by all
    /// present members; half of the nodes have the new set opened.
    pub fn submit_change(&mut self) {
        let Some((_, last)) = self.oracle.decided.last() else {
            return self.schedule(50, What::Change);
        };
        let present = last.tip.set.clone();
        let powers = self.setup.powers.clone();
        let members: Vec<_> = (0..powers.len() + self.setup.spares)
            .map(|node| (node, powers.get(node).copied().unwrap_or(1)))
            .collect();
        let new = set_of_members(&members);
        for node in 0..self.nodes.len() {
            if self.fault_rng.chance(500) || self.strong().next() == Some(node) {
                self.open_set(node, new.clone());
            }
        }
        let approvers: Vec<_> = (0..powers.len()).map(KeyId).collect();
        let change = self.change(0, Some(&new), None, &present, &approvers);
        let sequence = change.sequence;
        let Some(body) = self.workload.carry(&change) else {
            return;
        };
        let node = self.fault_rng.place(self.nodes.len());
        self.submit(node, 0, sequence, body);
    }

    /// A change that the client's next request is to carry.
    pub fn change(
        &self,
        client: usize,
        set: Option<&ValidatorSet>,
        parameters: Option<Parameters>,
        present: &ValidatorSet,
        approvers: &[KeyId],
    ) -> Change {
        let mut change = Change {
            client: client_key(client),
            sequence: self.next_sequence[client],
            validators: set.map(ValidatorSet::commitment),
            parameters,
            approvals: Vec::new(),
        };
        let bytes = change.signed_bytes(&self.genesis.genesis_digest());
        let approve = |id: &KeyId| {
            Some((
                present.index_of(public(*id))?,
                self.crypto.sign(*id, &bytes),
            ))
        };
        change.approvals = approvers.iter().filter_map(approve).collect();
        change.approvals.sort_by_key(|a| a.0);
        change
    }

    /// An operator hands an opened set to a node, which has it again after every start.
    pub fn open_set(&mut self, node: usize, set: Arc<ValidatorSet>) {
        self.nodes[node].machine.sets.push(set.clone());
        self.input(node, Input::Set(set));
    }

    pub(super) fn all_executed(&self) -> bool {
        self.next_sequence
            .iter()
            .enumerate()
            .all(|(client, next)| self.oracle.last_sequence(&client_key(client)) + 1 >= *next)
    }
}
