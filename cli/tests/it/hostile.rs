//! Files that nobody meant well: each is refused with an exit code, fast, and never by a panic.

use std::time::Instant;

use quorate_fixtures::frozen;
use quorate_fixtures::vectors::{example, example_block};
use quorate_verifier::encoding::Kind;
use quorate_verifier::file::{FileType, file_header};

use crate::support::Sandbox;

/// Shortly after the frozen chain's last header.
const NOW: &str = "--now 2026-01-01T00:01:20Z";

/// Names and contents.
fn files() -> Vec<(String, Vec<u8>)> {
    let huge_number = format!(
        r#"{{"type": "quorate/genesis/v1", "time": {}}}"#,
        "9".repeat(5000)
    );
    let plain: [(&str, Vec<u8>); 14] = [
        ("empty", vec![]),
        ("zeros", vec![0; 100_000]),
        ("ones", vec![0xff; 100_000]),
        ("magic", b"QUORATE".to_vec()),
        ("text", b"hello".to_vec()),
        ("brace", b"{".to_vec()),
        ("nested lists", b"[".repeat(50_000)),
        ("nested objects", br#"{"a":"#.repeat(10_000)),
        ("escapes", b"\x1b[2J\x1b]0;title\x07".to_vec()),
        (
            "escapes in JSON",
            b"{\"type\": \"\x1b[2J\", \"\x1b\": 1}".to_vec(),
        ),
        (
            "escaped escapes in JSON",
            br#"{"type": "\u001b[2J"}"#.to_vec(),
        ),
        (
            "empty PEM",
            b"-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n".to_vec(),
        ),
        // An ASN.1 sequence that claims four gigabytes.
        (
            "DER length",
            vec![0x30, 0x84, 0xff, 0xff, 0xff, 0xff, 2, 1, 0],
        ),
        ("huge number", huge_number.into_bytes()),
    ];
    let mut files: Vec<(String, Vec<u8>)> = plain
        .into_iter()
        .map(|(name, bytes)| (name.into(), bytes))
        .collect();
    let label = b"-----BEGIN \x1b[31m-----\nAAAA\n-----END \x1b[31m-----\n";
    files.push(("escapes in a PEM label".into(), label.to_vec()));
    for kind in Kind::ALL {
        let lengths = [file_header(*kind), vec![0xff; 5000]].concat();
        files.push((format!("{kind} of long lengths"), lengths));
        files.push((format!("{kind} of nothing"), file_header(*kind)));
        let json =
            format!(r#"{{"type": "quorate/{kind}/v1", "x\u001b\nfinal: \u009b\u202e": {{}}}}"#);
        files.push((format!("{kind} with a stray member"), json.into_bytes()));
    }
    for (name, good) in [
        ("block", example_block().to_file()),
        ("set", example().set.to_file()),
        ("attestation", frozen::attestation(2).to_file()),
        ("key", std::fs::read(frozen::dir().join("key.vk")).unwrap()),
        ("policy", frozen::policy().to_file()),
        ("update", frozen::update(2).to_file()),
    ] {
        for length in [8, 9, 10, 20, good.len() / 2, good.len() - 1] {
            files.push((format!("{name} cut at {length}"), good[..length].to_vec()));
        }
        files.push((format!("{name} and one byte"), [&good[..], &[0]].concat()));
    }
    files
}

#[test]
fn no_command_takes_a_bad_file_for_a_good_one() {
    let sandbox = Sandbox::new();
    sandbox.write("good-set", example().set.to_file());
    sandbox.write("good-policy", frozen::policy().to_file());
    sandbox.write(
        "good-key",
        std::fs::read(frozen::dir().join("key.vk")).unwrap(),
    );
    sandbox.write("good-update", frozen::attestation(1).to_file());
    let init = format!("light-client init --policy good-policy --state good-state {NOW}");
    sandbox.expect(0, &init);
    let state = sandbox.read("good-state");
    let names = sandbox.names();
    let chain = "--chain fixture-0000000000000000";
    for (name, bytes) in files() {
        sandbox.write("file", bytes);
        for line in [
            "inspect file".to_string(),
            "ledger show file".to_string(),
            format!("certificate check file --set good-set {chain}"),
            format!("certificate check good-set --set file {chain}"),
            "genesis check --set file --anchor file --key file".to_string(),
            "genesis --roster file --name a --out out".to_string(),
            "bundle open file --key file --out out".to_string(),
            "keygen --pkcs8 file --out out.pem".to_string(),
            "verify file --policy good-policy --key good-key --set good-set".to_string(),
            "verify good-set --policy file --key good-key".to_string(),
            "verify good-set --policy good-policy --key file".to_string(),
            "light-client init --policy file --state out".to_string(),
            format!("light-client update file --state good-state --key good-key {NOW}"),
            format!("light-client update good-update --state file --key good-key {NOW}"),
            format!("light-client update good-update --state good-state --key file {NOW}"),
            "light-client status --state file".to_string(),
            format!("light-client reset --policy file --state good-state {NOW}"),
        ] {
            let run = sandbox.run(&format!("--json {line}"));
            let answer = run.json();
            assert!([1, 3, 4].contains(&run.code), "{name}: {line}: {answer}");
            let words = sandbox.run(&line);
            assert_eq!(words.code, run.code, "{name}: {line}");
            assert!(
                !words.stdout.contains("\nfinal"),
                "{name}: {line}: {words:?}"
            );
            for printed in [&run.stdout, &run.stderr, &words.stdout, &words.stderr] {
                let obeys = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
                let obeyed = printed.chars().any(obeys);
                assert!(!obeyed, "{name}: {line}: a terminal would obey {printed:?}");
            }
        }
    }
    assert_eq!(sandbox.read("good-state"), state);
    sandbox.remove("file");
    assert_eq!(sandbox.names(), names);
}

#[test]
fn an_endless_file_is_not_read_to_its_end() {
    let sandbox = Sandbox::new();
    let file = std::fs::File::create(sandbox.path("file")).unwrap();
    file.set_len(1 << 40).unwrap(); // a hole: it takes no room
    drop(file);
    let start = Instant::now();
    for line in [
        "inspect file",
        "certificate check file --set file --chain fixture-0000000000000000",
        "genesis --roster file --name a --out out",
        "bundle open file --key file --out out",
        "verify file --policy file",
        "light-client init --policy file --state out",
        "light-client status --state file",
        "keygen --pkcs8 file --out out.pem",
        "keygen --out out.pem --passphrase-file file",
    ] {
        let run = sandbox.expect(4, line);
        assert!(run.stderr.contains("longer than"), "{line}: {run:?}");
    }
    assert!(start.elapsed().as_secs() < 30);
}

#[test]
fn a_directory_is_no_file() {
    let sandbox = Sandbox::new();
    std::fs::create_dir(sandbox.path("dir")).unwrap();
    sandbox.expect(4, "inspect dir");
    sandbox.expect(4, "keygen --pkcs8 dir --out out.pem");
}

#[cfg(unix)]
#[test]
fn names_that_are_not_text_are_taken() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let sandbox = Sandbox::new();
    let name = OsStr::from_bytes(b"k\xff.pem");
    let [json, keygen, out] = ["--json", "keygen", "--out"].map(OsStr::new);
    let run = sandbox.run_all([json, keygen, out, name]);
    assert_eq!(run.json()["verdict"], "done");
    assert!(sandbox.path(name).exists());
    let run = sandbox.run_all([json, name]);
    assert_eq!(run.json()["verdict"], "usage");
}
