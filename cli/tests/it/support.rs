//! Running the binary, and a directory of its own for each test.

use std::ffi::OsStr;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use ark_bn254::{G1Affine, G2Affine};
use ark_ec::AffineRepr;
use quorate_fixtures::vectors::example_block;
use quorate_verifier::attestation::Attestation;
use quorate_verifier::primitives::{CircuitSize, Digest};
use quorate_verifier::proof::{CircuitId, Origin, Proof, VerifyingKey};
use quorate_verifier::rule::QuorumRule;
use serde_json::Value;

/// A directory that is gone afterwards, and the binary run in it.
pub(crate) struct Sandbox(tempfile::TempDir);

/// What a run left: exit code, stdout, stderr.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Sandbox {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), bytes).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    pub(crate) fn remove(&self, name: &str) {
        std::fs::remove_file(self.path(name)).unwrap();
    }

    pub(crate) fn text(&self, name: &str) -> String {
        String::from_utf8(self.read(name)).unwrap()
    }

    /// Every name in the directory, so that nothing is left behind unseen.
    pub(crate) fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.0.path()).unwrap();
        let name = |entry: std::io::Result<std::fs::DirEntry>| entry.unwrap().file_name();
        let mut names: Vec<_> = entries
            .map(|entry| name(entry).into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    pub(crate) fn command(&self) -> Command {
        self.command_of(env!("CARGO_BIN_EXE_quorate"))
    }

    /// Another program, in the same directory and with the same environment.
    pub(crate) fn command_of(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.0.path()).stdin(Stdio::null());
        // The keys of whoever runs the tests are none of theirs.
        command.env_remove("QUORATE_KEYS");
        command.env("XDG_DATA_HOME", self.path("data"));
        command
    }

    /// `line` is split at blanks: no argument here has any.
    pub(crate) fn run(&self, line: &str) -> Run {
        self.run_all(line.split_whitespace())
    }

    pub(crate) fn run_all(&self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Run {
        Run::from(self.command().args(arguments).output().unwrap())
    }

    pub(crate) fn run_with_stdin(&self, line: &str, stdin: &[u8]) -> Run {
        let mut child = self
            .command()
            .args(line.split_whitespace())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // The program may stop reading when it has seen enough.
        let _ = child.stdin.take().unwrap().write_all(stdin);
        Run::from(child.wait_with_output().unwrap())
    }

    /// Runs with `--json` and checks the form of the answer, whatever it says.
    pub(crate) fn json(&self, line: &str) -> Value {
        self.run(&format!("--json {line}")).json()
    }

    /// Runs and expects an exit code.
    pub(crate) fn expect(&self, code: i32, line: &str) -> Run {
        let run = self.run(line);
        assert_eq!(run.code, code, "{line}: {run:?}");
        run
    }
}

impl From<Output> for Run {
    fn from(output: Output) -> Self {
        let run = Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        };
        assert!(!run.stderr.contains("panicked"), "{run:?}");
        run
    }
}

impl Run {
    /// The answer's document; its form and exit code are checked here for every test.
    pub(crate) fn json(&self) -> Value {
        let answer: Value = serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("not one document ({error}): {self:?}"));
        let mut members: Vec<_> = answer.as_object().unwrap().keys().collect();
        members.sort_unstable();
        let expected = [
            "checks",
            "command",
            "exitCode",
            "next",
            "notChecked",
            "result",
            "summary",
            "type",
            "verdict",
            "warnings",
        ];
        assert_eq!(members, expected);
        assert_eq!(answer["type"], "quorate/result/v1");
        assert_eq!(answer["exitCode"], self.code);
        let code = match answer["verdict"].as_str().unwrap() {
            "done" | "verified" | "final" => 0,
            "invalid" => 1,
            "policy-failed" => 2,
            "cannot-evaluate" => 3,
            "usage" => 4,
            "unavailable" => 5,
            "interrupted" => 130,
            other => panic!("verdict {other}"),
        };
        assert_eq!(code, self.code, "{answer}");
        for check in answer["checks"].as_array().unwrap() {
            let status = check["status"].as_str().unwrap();
            assert!(["pass", "fail", "not-checked"].contains(&status), "{check}");
        }
        answer
    }

    /// Fails when the text is anywhere in what was printed.
    pub(crate) fn assert_hides(&self, secret: &str) {
        assert!(
            secret.len() >= 8,
            "too short to be found only when it leaks"
        );
        let shown = self.stdout.contains(secret) || self.stderr.contains(secret);
        assert!(!shown, "{self:?}");
    }
}

/// A verifying key that is well formed, and of no use.
pub(crate) fn verifying_key(origin: Origin) -> VerifyingKey {
    let (g1, g2) = (G1Affine::generator(), G2Affine::generator());
    VerifyingKey {
        circuit: CircuitId {
            digest: Digest::from_bytes([1; 32]),
            slots: CircuitSize::from_slots(3).unwrap(),
            depth: 8,
            chunk_bits: 13,
        },
        origin,
        committed_bases: Digest::from_bytes([2; 32]),
        alpha: g1,
        beta: g2,
        gamma: g2,
        delta: g2,
        sigma_gamma: g2,
        bases: vec![g1; 7],
    }
}

/// A proof that is well formed, and of nothing.
pub(crate) fn attestation() -> Attestation {
    let block = example_block();
    let (g1, g2) = (G1Affine::generator(), G2Affine::generator());
    Attestation {
        view: block.certificate.view(),
        header: block.header,
        rule: QuorumRule::COMMIT,
        key: verifying_key(Origin::Development).digest(),
        proof: Proof {
            a: g1,
            b: g2,
            c: g1,
            commitment: g1,
            knowledge: g1,
        },
    }
}

/// Whether OpenSSL is there; tests against it say when they are left out.
pub(crate) fn has_openssl() -> bool {
    let version = Command::new("openssl").arg("version").output();
    let found = version.is_ok_and(|output| output.status.success());
    if !found {
        eprintln!("openssl is not installed: left out");
    }
    found
}

/// Runs OpenSSL in the sandbox, and expects it to succeed.
pub(crate) fn openssl(sandbox: &Sandbox, line: &str) -> Vec<u8> {
    let output = Command::new("openssl")
        .args(line.split_whitespace())
        .current_dir(sandbox.path(""))
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "openssl {line}: {error}");
    output.stdout
}

/// Waits until `is_time`, interrupts the program as a terminal does, and answers what it left.
#[cfg(target_os = "linux")]
pub(crate) fn interrupt(child: std::process::Child, is_time: impl Fn() -> bool) -> Run {
    let start = std::time::Instant::now();
    while !is_time() {
        assert!(start.elapsed().as_secs() < 120, "its time never came");
        std::thread::yield_now();
    }
    let pid = child.id().to_string();
    let kill = Command::new("kill").args(["-INT", &pid]).status();
    assert!(kill.unwrap().success());
    Run::from(child.wait_with_output().unwrap())
}

/// Permission bits.
#[cfg(unix)]
pub(crate) fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}
