//! Evidence packs: what they hold, who judges them, and every way of bending one.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;
use std::sync::LazyLock;

use ed25519_dalek::SigningKey;
use quorate_fixtures::{Network, frozen};
use quorate_node::attest::http::verify_html;
use quorate_node::attest::pack::{Judgement, Outcome, check};
use quorate_verifier::attestation::{KeyRing, Verdict};
use quorate_verifier::encoding::Canonical;
use quorate_verifier::file::FileType;
use quorate_verifier::genesis::AcceptedKey;
use quorate_verifier::header::Header;
use quorate_verifier::trust::{Cosigners, LogKey, Policy};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::chain::{block, proof, setup};
use super::http::Served;
use super::strangers;

/// A pack, and the policy by which it holds.
pub(crate) struct Packed {
    pub(crate) pack: Vec<u8>,
    pub(crate) policy: Policy,
}

/// Heights 8 to 10: the set changes after 8, and 12 is the height that is proved.
pub(crate) static PACKED: LazyLock<Packed> = LazyLock::new(|| {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let served = Served::covering(dir.path(), 12).await;
        let reply = served.get("/v1/packs?from=8&to=10").await;
        assert_eq!(reply.status(), 200, "{:?}", reply.body());
        let again = served.get("/v1/packs?from=8&to=10").await;
        assert_eq!(reply.body(), again.body(), "the same bytes each time");
        assert_eq!(reply.headers()["content-type"], "application/x-tar");
        let name = reply.headers()["content-disposition"].to_str().unwrap();
        assert_eq!(name, "attachment; filename=\"heights-8-10.tar\"");
        Packed {
            pack: reply.body().to_vec(),
            policy: demanding(),
        }
    })
});

/// The frozen chain's policy, with the key of the service's log.
pub(crate) fn demanding() -> Policy {
    let log = setup(Path::new("unused")).finality_key;
    Policy {
        log_key: Some(LogKey(log.verifying_key().to_bytes())),
        ..frozen::policy()
    }
}

pub(crate) fn judged(pack: &[u8], policy: &Policy) -> Judgement {
    check(pack, policy, KeyRing::new())
}

/// The check that failed and what is said of it.
fn refused(judgement: &Judgement) -> (&'static str, Verdict, &str) {
    let refusal = judgement.refusal.as_ref().expect("it is refused");
    (refusal.check, refusal.class, &refusal.what)
}

/// Where each file's header block begins, its body, and its end with padding.
fn places(pack: &[u8]) -> Vec<(String, usize, std::ops::Range<usize>, usize)> {
    let mut found = Vec::new();
    let mut at = 0;
    while pack[at] != 0 {
        let name: String = pack[at..]
            .iter()
            .take_while(|b| **b != 0)
            .map(|b| char::from(*b))
            .collect();
        let size = std::str::from_utf8(&pack[at + 124..at + 135]).unwrap();
        let size = usize::from_str_radix(size, 8).unwrap();
        let end = (at + 512 + size).next_multiple_of(512);
        found.push((name, at, at + 512..at + 512 + size, end));
        at = end;
    }
    found
}

/// A change of one byte, in the pack or in a pack whose manifest knows of it.
#[derive(Clone, Debug)]
pub(crate) struct Patch {
    /// The file.
    pub(crate) name: String,
    /// Bytes to be put at places of the archive.
    pub(crate) bytes: Vec<(usize, Vec<u8>)>,
}

impl Patch {
    pub(crate) fn apply(&self, pack: &[u8]) -> Vec<u8> {
        let mut bent = pack.to_vec();
        for (at, bytes) in &self.bytes {
            bent[*at..*at + bytes.len()].copy_from_slice(bytes);
        }
        bent
    }
}

/// One bit of every byte, with the file in which it is.
pub(crate) fn flips(pack: &[u8]) -> Vec<Patch> {
    let places = places(pack);
    let end = places.last().map_or(0, |(.., end)| *end);
    let bent = |(at, byte): (usize, &u8)| {
        let file = places
            .iter()
            .find(|(_, head, _, end)| (*head..*end).contains(&at));
        Patch {
            name: file.map_or_else(|| format!("at byte {end}"), |(name, ..)| name.clone()),
            bytes: vec![(at, vec![byte ^ 1 << (at % 8)])],
        }
    };
    pack.iter().enumerate().map(bent).collect()
}

/// One bit of every byte of every file, and the manifest says the changed file's sum.
pub(crate) fn resealed(pack: &[u8]) -> Vec<Patch> {
    let places = places(pack);
    let (_, _, manifest, _) = places
        .iter()
        .find(|one| one.0 == "MANIFEST.json")
        .unwrap()
        .clone();
    let text = std::str::from_utf8(&pack[manifest.clone()]).unwrap();
    let mut patches = Vec::new();
    for (name, _, body, _) in places.iter().filter(|one| one.0 != "MANIFEST.json") {
        let listed = text.find(&format!("\"name\": \"{name}\"")).unwrap();
        let sum = manifest.start + listed + text[listed..].find("\"sha256\": \"").unwrap() + 11;
        for at in body.clone() {
            let mut bent = pack[body.clone()].to_vec();
            bent[at - body.start] ^= 1 << (at % 8);
            let new = hex::encode(Sha256::digest(&bent)).into_bytes();
            let bytes = vec![(at, vec![bent[at - body.start]]), (sum, new)];
            patches.push(Patch {
                name: name.clone(),
                bytes,
            });
        }
    }
    patches
}

#[test]
fn a_pack_holds_by_its_readers_policy_and_by_nothing_else() {
    let Packed { pack, policy } = &*PACKED;
    let good = judged(pack, policy);
    assert_eq!(good.refusal, None);
    let (chain, from, to, proved) = good.range.clone().unwrap();
    assert_eq!(
        (chain.as_str(), from, to, proved),
        (policy.anchor.header.chain_id.as_str(), 8, 10, 12)
    );
    assert!(good.development_key);
    let names: Vec<_> = good.steps.iter().map(|step| step.name).collect();
    assert_eq!(
        names,
        [
            "manifest", "words", "chain", "headers", "heights", "log", "keys", "proofs"
        ]
    );
    assert!(
        good.steps
            .iter()
            .all(|step| matches!(step.outcome, Outcome::Holds(_)))
    );

    let without = judged(pack, &frozen::policy());
    assert_eq!(without.refusal, None);
    let log = without
        .steps
        .iter()
        .find(|step| step.name == "log")
        .unwrap();
    assert!(
        matches!(log.outcome, Outcome::NotChecked(_)),
        "no log key, no log"
    );

    let stranger = LogKey([7; 32]);
    let other = |change: &dyn Fn(&mut Policy)| {
        let mut policy = demanding();
        change(&mut policy);
        let judgement = judged(pack, &policy);
        let (check, class, _) = refused(&judgement);
        (check, class)
    };
    use Verdict::PolicyFailed;
    assert_eq!(
        other(&|p| p.log_key = Some(stranger)),
        ("log", PolicyFailed)
    );
    assert_eq!(
        other(&|p| p.cosigners = Cosigners::new(1, vec![stranger]).unwrap()),
        ("log", PolicyFailed)
    );
    assert_eq!(other(&|p| p.keys = Vec::new()), ("proofs", PolicyFailed));
    assert_eq!(
        other(&|p| p.development_keys = false),
        ("proofs", PolicyFailed)
    );
    let larger = quorate_verifier::primitives::CircuitSize::from_slots(4).unwrap();
    assert_eq!(
        other(&|p| p.keys[0].slots = larger),
        ("proofs", PolicyFailed)
    );
    assert_eq!(
        other(&|p| p.anchor.trusting_period_ms = 1),
        ("proofs", PolicyFailed)
    );
    // An anchor above what the pack shows.
    assert_eq!(
        other(&|p| p.anchor.header = proof(20).header),
        ("proofs", PolicyFailed)
    );
    assert_eq!(
        other(&|p| p.anchor.header = Network::equal(77, 4, 3).genesis_header()),
        ("chain", PolicyFailed)
    );
}

#[test]
fn every_changed_byte_is_found_and_named() {
    let Packed { pack, policy } = &*PACKED;
    let all = flips(pack);
    assert_eq!(all.len(), pack.len(), "every byte");
    let counts = in_threads(&all, |patch| {
        let judgement = judged(&patch.apply(pack), policy);
        let (check, class, what) = refused(&judgement);
        // The name of the chain is the one thing in it that a policy says otherwise.
        let expected = if check == "chain" {
            Verdict::PolicyFailed
        } else {
            Verdict::Invalid
        };
        assert_eq!(class, expected, "{patch:?}: {what}");
        assert!(
            ["archive", "manifest", "chain"].contains(&check),
            "{patch:?}: {check}: {what}"
        );
        // A name that is itself changed is told by its place.
        let head = format!("at byte {}", patch.bytes[0].0 / 512 * 512);
        let is_named = what.contains(&patch.name) || what.contains(&head);
        assert!(is_named, "{patch:?}: {what}");
        check
    });
    println!(
        "{} bytes of a pack, each changed, all found: {counts:?}",
        all.len()
    );
    assert_eq!(counts.len(), 3);
    for cut in [pack.len() - 512, pack.len() - 1, 700, 512, 1, 0] {
        assert_eq!(
            refused(&judged(&pack[..cut], policy)).0,
            "archive",
            "cut at {cut}"
        );
    }
}

/// A forger who knows of the manifest has to deceive what is behind it.
#[test]
fn a_change_that_the_manifest_knows_is_found_by_what_it_changes() {
    let Packed { pack, policy } = &*PACKED;
    let loose = ["README.txt", "verify.html"];
    let all = resealed(pack);
    // Every byte when asked for, else every fifth.
    let step = if std::env::var_os("QUORATE_ALL_BYTES").is_some() {
        1
    } else {
        5
    };
    let deep: Vec<_> = all
        .iter()
        .filter(|patch| !loose.contains(&patch.name.as_str()))
        .step_by(step)
        .cloned()
        .collect();
    let counts = in_threads(&deep, |patch| {
        let judgement = judged(&patch.apply(pack), policy);
        let (check, _, what) = refused(&judgement);
        assert!(
            what.contains(&patch.name) || check == "proofs",
            "{patch:?}: {check}: {what}"
        );
        check
    });
    println!(
        "{} bytes changed with the manifest, all found: {counts:?}",
        deep.len()
    );
    let found: BTreeSet<_> = counts.keys().copied().collect();
    assert_eq!(
        found,
        BTreeSet::from(["headers", "heights", "keys", "log", "proofs"])
    );
    // Text and page are no evidence: that they are not ours is said, and nothing more.
    for patch in all
        .iter()
        .filter(|patch| loose.contains(&patch.name.as_str()))
        .step_by(997)
    {
        let judgement = judged(&patch.apply(pack), policy);
        assert_eq!(judgement.refusal, None);
        let words = judgement
            .steps
            .iter()
            .find(|step| step.name == "words")
            .unwrap();
        match &words.outcome {
            Outcome::NotChecked(why) => assert!(why.contains(&patch.name), "{why}"),
            Outcome::Holds(_) => panic!("{patch:?} was not noticed"),
        }
    }
}

/// Runs over all, on both processors, and counts what was answered.
fn in_threads(
    all: &[Patch],
    run: impl Fn(&Patch) -> &'static str + Sync,
) -> BTreeMap<&'static str, usize> {
    let halves = all.chunks(all.len().div_ceil(2));
    let mut counts = BTreeMap::new();
    std::thread::scope(|scope| {
        let run = &run;
        let work: Vec<_> = halves
            .map(|half| scope.spawn(move || half.iter().map(run).collect::<Vec<_>>()))
            .collect();
        for check in work
            .into_iter()
            .flat_map(|one| one.join().expect("no check failed"))
        {
            *counts.entry(check).or_insert(0) += 1;
        }
    });
    counts
}

/// Packs of strangers, each with the policy by which it would hold, and what ours says.
pub(crate) fn of_strangers() -> Vec<(&'static str, Vec<u8>, Policy, &'static str)> {
    let log = SigningKey::from_bytes(&[99; 32]);
    let ours = setup(Path::new("unused")).finality_key;
    let anchor = Network::equal(77, 4, 3).genesis_header();
    let forged = |headers: &[Header]| {
        vec![strangers::forge(
            headers.last().unwrap(),
            strangers::key().digest(),
        )]
    };
    let own = strangers::chain(&anchor, 3);
    // The same chain's name, and a genesis header of one's own.
    let mut namesake = anchor.clone();
    namesake.chain_id = frozen::policy().anchor.header.chain_id;
    let named = strangers::chain(&namesake, 3);
    // On top of our very anchor, in the name of our very set.
    let on_ours = strangers::chain(&frozen::policy().anchor.header, 3);
    // Our chain as it is, from an anchor in its middle: the way there is left out.
    let middle: Vec<Header> = (20..=24).map(|height| proof(height).header).collect();
    let frozen_key = frozen::read(&frozen::dir().join("key.vk"));
    let mut late = demanding();
    late.anchor.header = block(19).header;
    vec![
        (
            "own chain",
            strangers::pack(&own, forged(&own), strangers::key(), &log),
            strangers::policy(&anchor, &log),
            "chain",
        ),
        (
            "own chain by our name",
            strangers::pack(&named, forged(&named), strangers::key(), &log),
            strangers::policy(&namesake, &log),
            "log",
        ),
        (
            "on our anchor",
            strangers::pack(&on_ours, forged(&on_ours), strangers::key(), &log),
            strangers::policy(&frozen::policy().anchor.header, &log),
            "log",
        ),
        (
            "another anchor",
            strangers::pack(&middle, vec![proof(24)], frozen_key, &ours),
            late,
            "proofs",
        ),
    ]
}

/// Heights 6 to 8 in a log that somebody cosigned, and who.
fn with_a_cosigner() -> (Vec<u8>, LogKey) {
    let headers: Vec<Header> = (6..=8).map(|height| proof(height).header).collect();
    let key = frozen::read(&frozen::dir().join("key.vk"));
    let ours = setup(Path::new("unused")).finality_key;
    let cosigner = SigningKey::from_bytes(&[51; 32]);
    let parts = strangers::parts(&headers, vec![proof(8)], key, &ours);
    let pack = strangers::cosigned(parts, "cosigner.example", &cosigner);
    (pack, LogKey(cosigner.verifying_key().to_bytes()))
}

#[test]
fn cosigners_are_counted_and_their_signatures_checked() {
    let (pack, cosigner) = with_a_cosigner();
    let demand = |threshold: u16, keys: Vec<LogKey>| Policy {
        cosigners: Cosigners::new(threshold, keys).unwrap(),
        ..demanding()
    };
    let one = demand(1, vec![cosigner]);
    assert_eq!(judged(&pack, &one).refusal, None);
    let mut both = vec![cosigner, LogKey([7; 32])];
    both.sort();
    assert_eq!(judged(&pack, &demand(1, both.clone())).refusal, None);
    let judgement = judged(&pack, &demand(2, both));
    let (check, class, what) = refused(&judgement);
    assert_eq!((check, class), ("log", Verdict::PolicyFailed));
    assert!(
        what.contains("1 of the policy's cosigners signed, 2 are needed"),
        "{what}"
    );
    // Each byte of a way into the log counts, the cosigner's signature among them.
    let of = |patch: &&Patch| patch.name.starts_with("log/");
    let ways: Vec<_> = resealed(&pack)
        .iter()
        .filter(of)
        .step_by(3)
        .cloned()
        .collect();
    let counts = in_threads(&ways, |patch| {
        let judgement = judged(&patch.apply(&pack), &one);
        let (check, _, what) = refused(&judgement);
        assert!(what.contains(&patch.name), "{patch:?}: {what}");
        check
    });
    assert_eq!(counts.keys().copied().collect::<Vec<_>>(), ["log"]);
}

#[test]
fn what_a_stranger_made_consistent_is_refused() {
    let ours = demanding();
    let without_log = frozen::policy();
    for (name, pack, theirs, expected) in of_strangers() {
        assert_eq!(
            judged(&pack, &theirs).refusal,
            None,
            "{name}: it is consistent in itself"
        );
        let judgement = judged(&pack, &ours);
        let (check, class, what) = refused(&judgement);
        assert_eq!(check, expected, "{name}: {what}");
        assert_ne!(
            class,
            Verdict::Invalid,
            "{name}: it holds, and is not ours: {what}"
        );
        // Whoever demands no log is not deceived either.
        let judgement = judged(&pack, &without_log);
        let (check, _, what) = refused(&judgement);
        let reason = match name {
            "own chain" => ("chain", "the policy's is"),
            "on our anchor" => ("proofs", "not among the accepted ones"),
            _ => ("proofs", "the trusted set is"),
        };
        assert!(
            check == reason.0 && what.contains(reason.1),
            "{name}: {check}: {what}"
        );
    }
    // A forged proof that claims our key is refused by the proof.
    let on_ours = strangers::chain(&ours.anchor.header, 3);
    let lie = strangers::forge(on_ours.last().unwrap(), frozen::policy().keys[0].digest);
    let key = frozen::read(&frozen::dir().join("key.vk"));
    let log = SigningKey::from_bytes(&[99; 32]);
    let pack = strangers::pack(&on_ours, vec![lie], key, &log);
    let judgement = judged(&pack, &without_log);
    assert_eq!(
        (refused(&judgement).0, refused(&judgement).1),
        ("proofs", Verdict::Invalid)
    );
    // A policy that was talked into the stranger's key, but not into his set.
    let mut misled = without_log;
    misled.keys.push(AcceptedKey {
        ..strangers::policy(&ours.anchor.header, &log).keys[0]
    });
    misled.keys.sort_by_key(|key| key.digest);
    let (_, pack, ..) = of_strangers().swap_remove(1);
    let judgement = judged(&pack, &misled);
    assert_eq!(
        (refused(&judgement).0, refused(&judgement).1),
        ("proofs", Verdict::CannotEvaluate)
    );
}

#[tokio::test]
async fn a_download_is_bounded_and_says_why_there_is_none() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::covering(dir.path(), 12).await;
    super::chain::ingest(&served.context.service, 13, 13);
    for (query, kind) in [
        ("", "bad-request"),
        ("?from=5", "bad-request"),
        ("?from=6&to=5", "bad-request"),
        ("?from=1&to=x", "bad-request"),
        ("?from=1&to=2&rule=1", "bad-request"),
        ("?from=0&to=5", "before-start"),
        ("?from=12&to=13", "pending"),
        ("?from=12&to=99", "unknown-block"),
    ] {
        let reply = served.get(&format!("/v1/packs{query}")).await;
        assert_eq!(super::http::problem(&reply), kind, "{query}");
    }
    // Of many at once two are made, and the others are told to come again.
    let many: Vec<_> = (0..12)
        .map(|_| {
            let public = served.public.clone();
            tokio::spawn(async move {
                let request = warp::test::request().path("/v1/packs?from=1&to=12");
                request.reply(&public).await
            })
        })
        .collect();
    let mut made = 0;
    for reply in many {
        let reply = reply.await.unwrap();
        if reply.status() == 200 {
            made += 1;
        } else {
            assert_eq!(super::http::problem(&reply), "too-many-requests");
            assert_eq!(reply.headers()["retry-after"], "1");
        }
    }
    assert!(made >= 1, "some are made");
    let reply = served.get("/v1/packs?from=1&to=12").await;
    assert_eq!(judged(reply.body(), &demanding()).refusal, None);
    let page = served.get("/verify.html").await;
    assert_eq!(page.body(), verify_html().as_bytes());
}

/// `page.js` names the sum of what it was made of: no source changes without its bundle.
#[test]
fn the_bundle_is_made_of_its_sources() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = root.join("src/attest/http/page");
    let own = ["files.mjs", "pack.mjs", "page.mjs", "policy.mjs"].map(|name| page.join(name));
    let other = root.join("../fixtures/js/verify.mjs");
    let mut sum = Sha256::new();
    for path in own.iter().chain([&other]) {
        sum.update(std::fs::read(path).unwrap());
    }
    let script = std::fs::read_to_string(page.join("page.js")).unwrap();
    let named = format!("sources {}", hex::encode(sum.finalize()));
    assert!(
        script.contains(&named),
        "run node/src/attest/http/page/build.sh"
    );
    // It can stand in a page, and asks nobody.
    assert!(script.is_ascii() && !script.contains("</script") && !script.contains("<!--"));
    for word in [
        "http://",
        "https://",
        "//cdn",
        "eval(",
        "new Function",
        "WebSocket",
        "sendBeacon",
    ] {
        assert!(!script.contains(word), "{word}");
    }
    let html = verify_html();
    let policy = html
        .split("content=\"")
        .nth(1)
        .unwrap()
        .split('"')
        .next()
        .unwrap();
    assert!(
        policy.starts_with("default-src 'none'; script-src 'sha256-"),
        "{policy}"
    );
    assert!(!policy.contains("unsafe") && !policy.contains("self") && !policy.contains("http"));
    let outside = html.replace(&script, "");
    assert_eq!(outside.matches("<script").count(), 1);
    for word in ["http://", "https://", "src=", "href=", "url(", "@import"] {
        assert!(!outside.contains(word), "{word}");
    }
}

/// The second verifier of packs, the script of page and `verify.html`, says the same of the same.
#[test]
fn the_script_judges_as_the_program_does() {
    let Some(node) = super::browser::tool("node", "--version") else {
        eprintln!(
            "SKIPPED: node is not installed, so the page's script was not run outside a browser"
        );
        return;
    };
    let cases = Cases::sample();
    let dir = tempfile::tempdir().unwrap();
    for (name, bytes) in &cases.files {
        std::fs::write(dir.path().join(name), bytes).unwrap();
    }
    std::fs::write(dir.path().join("cases.json"), cases.list.to_string()).unwrap();
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/attest/http/page");
    let output = Command::new(node)
        .arg(page.join("check.cjs"))
        .arg(dir.path())
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    let answers: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    cases.compare(&answers);
}

/// Packs and policies, and what the program says of them.
pub(crate) struct Cases {
    pub(crate) files: BTreeMap<String, Vec<u8>>,
    pub(crate) list: Value,
    expected: Vec<(String, String, &'static str)>,
}

impl Cases {
    pub(crate) fn sample() -> Self {
        let Packed { pack, policy } = &*PACKED;
        let mut cases = Self {
            files: BTreeMap::from([("good.tar".into(), pack.clone())]),
            list: json!([]),
            expected: Vec::new(),
        };
        cases.add("good.tar", policy, &[]);
        cases.add("good.tar", &frozen::policy(), &[]);
        for patch in flips(pack).iter().step_by(2503) {
            cases.add("good.tar", policy, &patch.bytes);
        }
        for (name, step) in [
            ("headers/", 311),
            ("keys/", 131),
            ("log/", 173),
            ("proofs/", 127),
            ("heights", 397),
        ] {
            let of = |patch: &&Patch| patch.name.starts_with(name);
            for patch in resealed(pack).iter().filter(of).step_by(step) {
                cases.add("good.tar", policy, &patch.bytes);
            }
        }
        for (i, (_, pack, theirs, _)) in of_strangers().into_iter().enumerate() {
            let name = format!("stranger-{i}.tar");
            cases.files.insert(name.clone(), pack);
            cases.add(&name, &theirs, &[]);
            cases.add(&name, policy, &[]);
            cases.add(&name, &frozen::policy(), &[]);
        }
        let other = |change: &dyn Fn(&mut Policy)| {
            let mut policy = demanding();
            change(&mut policy);
            policy
        };
        let (pack, cosigner) = with_a_cosigner();
        cases.files.insert("cosigned.tar".into(), pack.clone());
        let demand = |threshold, keys: Vec<LogKey>| {
            other(&|p| p.cosigners = Cosigners::new(threshold, keys.clone()).unwrap())
        };
        let stranger = LogKey([7; 32]);
        let mut both = vec![cosigner, stranger];
        both.sort();
        for policy in [
            demand(1, vec![cosigner]),
            demand(1, both.clone()),
            demand(2, both),
            demand(0, Vec::new()),
        ] {
            cases.add("cosigned.tar", &policy, &[]);
        }
        let one = demand(1, vec![cosigner]);
        let of = |patch: &&Patch| patch.name.starts_with("log/");
        for patch in resealed(&pack).iter().filter(of).step_by(97) {
            cases.add("cosigned.tar", &one, &patch.bytes);
        }
        for policy in [
            other(&|p| p.log_key = Some(stranger)),
            other(&|p| p.cosigners = Cosigners::new(1, vec![stranger]).unwrap()),
            other(&|p| p.keys = Vec::new()),
            other(&|p| p.development_keys = false),
            other(&|p| p.anchor.trusting_period_ms = 1),
            other(&|p| p.anchor.header = proof(20).header),
            other(&|p| p.anchor.header = block(9).header),
        ] {
            cases.add("good.tar", &policy, &[]);
        }
        cases
    }

    fn add(&mut self, pack: &str, policy: &Policy, patch: &[(usize, Vec<u8>)]) {
        let bytes = Patch {
            name: String::new(),
            bytes: patch.to_vec(),
        }
        .apply(&self.files[pack]);
        let judgement = judged(&bytes, policy);
        let (verdict, check, what) = match &judgement.refusal {
            None => ("final", "", String::new()),
            Some(refusal) => {
                let word = match refusal.class {
                    Verdict::Invalid => "invalid",
                    Verdict::PolicyFailed => "policy-failed",
                    Verdict::CannotEvaluate => "cannot-evaluate",
                };
                (word, refusal.check, refusal.what.clone())
            }
        };
        // Policies in both forms, turn by turn.
        let name = hex::encode(&Sha256::digest(policy.to_bytes())[..4]);
        let form = if self.expected.len().is_multiple_of(2) {
            policy.to_json().into_bytes()
        } else {
            policy.to_file()
        };
        let name = format!("{name}-{}.policy", self.expected.len() % 2);
        self.files.insert(name.clone(), form);
        let patch: Vec<_> = patch
            .iter()
            .map(|(at, bytes)| json!([at, hex::encode(bytes)]))
            .collect();
        let case = json!({"pack": pack, "policy": name, "patch": patch});
        self.list.as_array_mut().unwrap().push(case);
        self.expected.push((verdict.into(), what, check));
    }

    /// Holds answers of the script against the program's.
    pub(crate) fn compare(&self, answers: &[Value]) {
        assert_eq!(answers.len(), self.expected.len());
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for (i, (answer, (verdict, what, check))) in answers.iter().zip(&self.expected).enumerate()
        {
            let case = &self.list[i];
            let said = || format!("{case}: the script says {answer}, the program {check}: {what}");
            assert_eq!(answer["verdict"], verdict.as_str(), "{}", said());
            let failed = answer["checks"]
                .as_array()
                .unwrap()
                .iter()
                .find(|one| one["status"] == "fail");
            assert_eq!(
                failed.map_or("", |one| one["name"].as_str().unwrap()),
                *check,
                "{}",
                said()
            );
            // The same file is named.
            let summary = answer["summary"].as_str().unwrap();
            if let Some(name) = what
                .split([':', ' ', ','])
                .next()
                .filter(|word| word.contains('/'))
            {
                assert!(summary.contains(name), "{}", said());
            }
            *counts.entry(*check).or_insert(0) += 1;
        }
        println!(
            "{} packs judged alike by script and program: {counts:?}",
            answers.len()
        );
        assert!(counts.len() >= 8, "{counts:?}");
    }
}
