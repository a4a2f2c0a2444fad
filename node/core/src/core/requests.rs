//! Clients' requests on their way to the pool and to the other replicas:
//! `docs/consensus.md#request`.

use std::collections::BTreeMap;
use std::sync::Arc;

use quorate_verifier::signature::VoteKey;

use super::pool::Kept;
use super::{Core, Effect, Peer, PoolError, Recipients};
use crate::app::App;
use crate::defect::{Build, Defect};
use crate::limits::{DOUBT_MS, REQUESTS_BYTES, REQUESTS_PER_MESSAGE, SIGNATURES_TOGETHER};
use crate::message::Message;
use crate::request::Request;
use crate::scheme::Scheme;
use crate::time::Tick;

/// Sources of requests, a peer or all local clients together, that have sent a bad signature
/// lately, and until when each of their requests is checked alone: one bad signature makes all
/// that were checked with it cost more, and nobody should be able to do that to others at will.
pub(super) type Doubts = BTreeMap<Option<Peer>, Tick>;

/// A request whose signature is to be checked.
struct Unchecked {
    from: Option<Peer>,
    request: Arc<Request>,
    key: VoteKey,
}

impl<S: Scheme, A: App, B: Build> Core<S, A, B> {
    /// Requests of clients of this node, and those that peers have passed on.
    pub(super) fn on_requests(&mut self, requests: Vec<(Option<Peer>, Arc<Request>)>) {
        let now = self.now.tick;
        self.doubts.retain(|_, until| now < *until);
        let (mut together, mut alone, mut fresh) = (Vec::new(), Vec::new(), Vec::new());
        for (from, request) in requests {
            if from.is_some_and(|peer| self.ignores(peer)) {
                continue;
            }
            match self.look_at(&request) {
                Ok((Kept::New, key)) => {
                    let group = match self.doubts.contains_key(&from) {
                        true => &mut alone,
                        false => &mut together,
                    };
                    group.push(Unchecked { from, request, key });
                }
                Ok((Kept::Known, _)) => {
                    if from.is_none() && self.build.lacks(Defect::RequestsEchoed) {
                        fresh.push(request);
                    }
                }
                Err(error) => self.on_bad_request(from, request, error),
            }
        }
        let groups = together.chunks(SIGNATURES_TOGETHER);
        for group in groups.chain(alone.chunks(1)) {
            let requests = group.iter().map(|one| (&*one.request, &one.key));
            let requests: Vec<_> = requests.collect();
            let signed = self.chain.are_signed(&self.scheme, &self.build, &requests);
            for (Unchecked { from, request, .. }, is_signed) in group.iter().zip(signed) {
                let kept = match is_signed {
                    true => self.try_keep(*from, request),
                    false => Err(PoolError::Signature),
                };
                match kept {
                    Ok(Kept::New) if from.is_none() && !self.build.lacks(Defect::RequestsKept) => {
                        fresh.push(request.clone());
                    }
                    Ok(_) => {}
                    Err(error) => self.on_bad_request(*from, request.clone(), error),
                }
            }
        }
        self.pass_on(fresh);
    }

    /// Everything that can be said without the signature, and the key that it must be by.
    fn look_at(&self, request: &Request) -> Result<(Kept, VoteKey), PoolError> {
        let client = self.chain.app().client(&request.client);
        let client = client.ok_or(PoolError::UnknownClient)?;
        let limits = &self.chain.tip().parameters.limits;
        let bounded = !self.build.lacks(Defect::PoolUnbounded);
        let kept = self.pool.room(request, client.sequence, limits, bounded)?;
        Ok((kept, client.key))
    }

    /// Keeps a signed request, if there is still room: others came with it.
    fn try_keep(&mut self, from: Option<Peer>, request: &Arc<Request>) -> Result<Kept, PoolError> {
        if let (Kept::Known, _) = self.look_at(request)? {
            return Ok(Kept::Known);
        }
        let admitted = self.chain.app().admit(request);
        admitted.map_err(PoolError::NotAdmitted)?;
        let now = self.now.tick;
        self.pool.keep(request.clone(), from.is_none(), now);
        Ok(Kept::New)
    }

    fn on_bad_request(&mut self, from: Option<Peer>, request: Arc<Request>, error: PoolError) {
        if error == PoolError::Signature && !self.build.lacks(Defect::NoDoubt) {
            self.doubts.insert(from, self.now.tick.plus(DOUBT_MS));
        }
        match from {
            None => self.effects.push(Effect::Reject(request, error)),
            // Late copies, and requests that overtook each other, are nobody's fault.
            Some(peer) if error == PoolError::Signature => self.blame(peer, error.into()),
            Some(_) => {}
        }
    }

    /// Sends requests of local clients to the others, in as few messages as they fit in.
    pub(super) fn pass_on(&mut self, requests: Vec<Arc<Request>>) {
        let (mut message, mut bytes) = (Vec::new(), 0);
        for request in requests {
            let size = request.size();
            if message.len() == REQUESTS_PER_MESSAGE
                || !message.is_empty() && bytes + size > REQUESTS_BYTES
            {
                let full = std::mem::take(&mut message);
                self.send(Recipients::All, Message::Requests(full));
                bytes = 0;
            }
            bytes += size;
            message.push(request);
        }
        if !message.is_empty() {
            self.send(Recipients::All, Message::Requests(message));
        }
    }
}
