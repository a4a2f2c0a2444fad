//! Evidence of a double vote, as a node keeps it, shown to an operator.

use quorate_pbft::defect::Sound;
use quorate_pbft::scheme::Ed25519;
use quorate_pbft::sim::{LiarKind, Setup, World};
use quorate_verifier::file::FileType;

use crate::support::Sandbox;

#[test]
fn a_double_vote_is_shown_with_both_signatures() {
    let mut setup = Setup::calm(4);
    setup.liars = vec![(0, LiarKind::Equivocator)];
    let mut world = World::new(setup, Ed25519, Sound);
    world.run_until(1_000);
    assert!(!world.evidence().is_empty(), "an equivocator is found out");
    for (_, vote) in world.evidence().iter().take(4) {
        assert_eq!(vote.check(&Ed25519, &world.genesis_digest()), Ok(()));
        let sandbox = Sandbox::new();
        sandbox.write("vote.double-vote", vote.to_file());
        sandbox.write("vote.json", vote.to_json());
        let (binary, json) = (
            sandbox.json("inspect vote.double-vote"),
            sandbox.json("inspect vote.json"),
        );
        assert_eq!(binary["result"], json["result"]);
        let result = &binary["result"];
        assert_eq!(result["kind"], "double-vote");
        assert_eq!(result["validator"], hex::encode(vote.key.as_bytes()));
        assert_ne!(result["first"], result["second"]);
        for (side, signature) in [("first", vote.first.1), ("second", vote.second.1)] {
            let shown = &result["content"][side]["signature"];
            assert_eq!(*shown, hex::encode(signature.as_bytes()));
        }
        let cut = &vote.to_file()[..60];
        sandbox.write("cut.double-vote", cut);
        assert_ne!(sandbox.run("inspect cut.double-vote").code, 0);
    }
}
