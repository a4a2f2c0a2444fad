//! Garbage: votes, view changes, requests and answers that are well formed and mean nothing.

use std::sync::Arc;

use quorate_verifier::primitives::{Height, View};

use super::{Hand, Liar, Said};
use crate::app::App;
use crate::ballot::{ReportBody, Step};
use crate::message::{Claim, Fetch, Message, Prepared, Report, ViewChange, Vote};
use crate::request::Request;
use crate::sim::keys::{Crypto, client_key};

pub(super) struct Garbage;

impl<C: Crypto, A: App> Liar<C, A> for Garbage {
    fn say(&mut self, _hand: &mut Hand<'_, C, A>, to: usize, message: Message) -> Vec<Said> {
        vec![Said::truth(to, message)]
    }

    fn act(&mut self, hand: &mut Hand<'_, C, A>) -> Vec<Said> {
        let mut said = Vec::new();
        for _ in 0..12 {
            let to = hand.rng.place(hand.nodes);
            let message = nonsense(hand);
            said.push(Said::lie(to, message));
        }
        said
    }
}

fn nonsense<C: Crypto, A: App>(hand: &mut Hand<'_, C, A>) -> Message {
    let height = Height::new(
        hand.height
            .get()
            .saturating_add(hand.rng.below(3))
            .saturating_sub(1),
    );
    let view = match hand.rng.below(4) {
        0 => View::new(u64::MAX),
        1 => View::new(hand.rng.below(12)),
        _ => hand.view,
    };
    // Mostly in the name of a member, sometimes of nobody.
    let signer = u16::try_from(hand.rng.below(hand.set().count() as u64 + 1)).unwrap_or(0);
    let (block, signature) = (hand.garbage_digest(), hand.garbage_signature());
    match hand.rng.below(8) {
        0 => Message::Vote(Vote {
            step: Step::Prepare,
            height,
            view,
            block,
            signer,
            signature,
        }),
        1 => Message::Vote(Vote {
            step: Step::Commit,
            height,
            view,
            block,
            signer,
            signature,
        }),
        2 => {
            let prepared = Some((View::new(hand.rng.below(3)), block));
            let claim = Claim {
                prepared,
                signer,
                signature,
            };
            let votes = vec![(signer, signature); 3];
            let proof = Some(Arc::new(Prepared {
                view: View::FIRST,
                block,
                votes,
            }));
            Message::ViewChange(Arc::new(ViewChange {
                height,
                view,
                claim,
                proof,
            }))
        }
        3 => Message::Status(Height::new(hand.rng.next()), block),
        4 => Message::Fetch(Fetch::Blocks(Height::new(hand.rng.next()))),
        5 => Message::Fetch(Fetch::Block(height, block)),
        6 => {
            let body = ReportBody {
                nonce: hand.rng.next(),
                height,
                header: block,
            };
            Message::Report(Report {
                body,
                signer,
                signature,
            })
        }
        _ => {
            let client = client_key(usize::from(signer % 2));
            let request = Request {
                client,
                sequence: hand.rng.below(400),
                body: b"+?".to_vec(),
                signature,
            };
            Message::Requests(vec![Arc::new(request)])
        }
    }
}
