//! `quorate keygen`, and the same files in OpenSSL.

use crate::support::{Sandbox, has_openssl, openssl};

#[cfg(unix)]
#[test]
fn a_secret_is_for_its_owner_alone() {
    let sandbox = Sandbox::new();
    sandbox.expect(0, "keygen --out key.pem");
    assert_eq!(crate::support::mode(&sandbox.path("key.pem")), 0o600);
    let public = crate::support::mode(&sandbox.path("key.pem.pub"));
    assert_eq!(public & 0o600, 0o600);
    assert_eq!(sandbox.names(), ["key.pem", "key.pem.pub"]);
}

#[test]
fn nothing_is_overwritten() {
    let sandbox = Sandbox::new();
    sandbox.write("a.pem", "mine");
    sandbox.expect(4, "keygen --out a.pem");
    sandbox.write("b.pem.pub", "mine");
    sandbox.expect(4, "keygen --out b.pem");
    assert_eq!(sandbox.names(), ["a.pem", "b.pem.pub"]);
    assert_eq!(sandbox.text("a.pem"), "mine");
    let missing = sandbox.expect(4, "keygen --out no/such/dir/key.pem");
    assert!(missing.stderr.contains("no/such/dir"), "{missing:?}");
    sandbox.expect(4, "keygen --out -");
    #[cfg(unix)]
    {
        // A link to nowhere is there, too.
        std::os::unix::fs::symlink("elsewhere", sandbox.path("c.pem")).unwrap();
        sandbox.expect(4, "keygen --out c.pem");
        assert_eq!(sandbox.names(), ["a.pem", "b.pem.pub", "c.pem"]);
    }
}

#[test]
fn keys_differ_and_import_keeps_them() {
    let sandbox = Sandbox::new();
    sandbox.write("pass", "correct horse\n");
    let made = sandbox.json("keygen --out a.pem");
    let other = sandbox.json("keygen --out b.pem");
    assert_ne!(made["result"]["publicKey"], other["result"]["publicKey"]);
    let locked = sandbox.json("keygen --pkcs8 a.pem --out locked.pem --passphrase-file pass");
    assert_eq!(locked["result"]["publicKey"], made["result"]["publicKey"]);
    assert_eq!(locked["result"]["encrypted"], true);
    let text = sandbox.text("locked.pem");
    assert!(text.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----"));
    let line = "keygen --pkcs8 locked.pem --pkcs8-passphrase-file pass --out again.pem";
    let opened = sandbox.json(line);
    assert_eq!(opened["result"]["publicKey"], made["result"]["publicKey"]);
    assert_eq!(sandbox.read("again.pem"), sandbox.read("a.pem"));
    assert_eq!(sandbox.read("again.pem.pub"), sandbox.read("a.pem.pub"));
    let piped = sandbox.run_with_stdin("keygen --pkcs8 - --out piped.pem", &sandbox.read("a.pem"));
    assert_eq!(piped.code, 0, "{piped:?}");
    assert_eq!(sandbox.read("piped.pem"), sandbox.read("a.pem"));
}

#[test]
fn passphrases_are_one_line_that_is_not_empty() {
    let sandbox = Sandbox::new();
    sandbox.expect(0, "keygen --out a.pem");
    let long = "x".repeat(1025);
    for (name, text) in [
        ("empty", ""),
        ("blank", "\n"),
        ("two", "a\nb\n"),
        ("long", &long),
    ] {
        sandbox.write(name, text);
        let run = sandbox.expect(4, &format!("keygen --out b.pem --passphrase-file {name}"));
        assert!(run.stderr.contains("passphrase"), "{name}: {run:?}");
    }
    sandbox.write("right", "correct horse");
    sandbox.write("crlf", "correct horse\r\n");
    sandbox.write("wrong", "wrong horse");
    sandbox.expect(0, "keygen --out b.pem --passphrase-file right");
    let import = |out: &str, rest: &str| format!("keygen --pkcs8 b.pem --out {out} {rest}");
    sandbox.expect(0, &import("c.pem", "--pkcs8-passphrase-file crlf"));
    let wrong = sandbox.expect(4, &import("d.pem", "--pkcs8-passphrase-file wrong"));
    assert!(wrong.stderr.contains("does not open"), "{wrong:?}");
    let none = sandbox.expect(4, &import("d.pem", ""));
    assert!(none.stderr.contains("encrypted"), "{none:?}");
    let needless = "keygen --pkcs8 a.pem --pkcs8-passphrase-file right --out d.pem";
    assert!(sandbox.expect(4, needless).stderr.contains("not encrypted"));
    assert!(!sandbox.path("d.pem").exists());
}

#[test]
fn secrets_are_never_printed() {
    let sandbox = Sandbox::new();
    sandbox.write("pass", "a passphrase like no other");
    for (line, name) in [
        ("keygen --out a.pem", "a.pem"),
        ("--json keygen --out b.pem", "b.pem"),
    ] {
        let run = sandbox.expect(0, line);
        run.assert_hides(&secret_line(&sandbox, name));
        run.assert_hides(&secret_hex(&sandbox, name));
    }
    let secrets = [
        secret_line(&sandbox, "a.pem"),
        secret_hex(&sandbox, "a.pem"),
        "a passphrase like no other".to_string(),
    ];
    sandbox.expect(
        0,
        "keygen --pkcs8 a.pem --out locked.pem --passphrase-file pass",
    );
    for line in [
        "inspect a.pem",
        "--json inspect a.pem",
        "inspect pass",
        "--json inspect locked.pem",
        "keygen --pkcs8 a.pem --out c.pem --passphrase-file pass",
        "keygen --pkcs8 pass --out d.pem",
        "--json keygen --pkcs8 a.pem --pkcs8-passphrase-file pass --out d.pem",
        "genesis check --set a.pem --anchor a.pem --key a.pem",
        "certificate check a.pem --set a.pem --chain local-0000000000000000",
        "bundle open a.pem --key a.pem --out d",
    ] {
        let run = sandbox.run(line);
        secrets.iter().for_each(|secret| run.assert_hides(secret));
    }
}

/// The base64 line of an unencrypted key file.
fn secret_line(sandbox: &Sandbox, name: &str) -> String {
    sandbox.text(name).lines().nth(1).unwrap().to_string()
}

/// The seed in hex.
fn secret_hex(sandbox: &Sandbox, name: &str) -> String {
    use ed25519_dalek::pkcs8::DecodePrivateKey;
    let key = ed25519_dalek::SigningKey::from_pkcs8_pem(&sandbox.text(name)).unwrap();
    hex::encode(key.to_bytes())
}

#[cfg(unix)]
#[test]
fn a_key_that_others_can_read_is_warned_about() {
    use std::os::unix::fs::PermissionsExt;
    let sandbox = Sandbox::new();
    sandbox.expect(0, "keygen --out a.pem");
    let open = std::fs::Permissions::from_mode(0o644);
    std::fs::set_permissions(sandbox.path("a.pem"), open).unwrap();
    let run = sandbox.expect(0, "keygen --pkcs8 a.pem --out b.pem");
    assert!(run.stderr.contains("chmod 600"), "{run:?}");
}

#[test]
fn openssl_reads_what_we_write() {
    let sandbox = Sandbox::new();
    if !has_openssl() {
        return;
    }
    sandbox.write("pass", "correct horse\n");
    sandbox.expect(0, "keygen --out a.pem");
    sandbox.expect(
        0,
        "keygen --pkcs8 a.pem --out locked.pem --passphrase-file pass",
    );
    let public = sandbox.read("a.pem.pub");
    for line in [
        "pkey -in a.pem -pubout",
        "pkey -in locked.pem -passin file:pass -pubout",
        "pkey -pubin -in locked.pem.pub -pubout",
    ] {
        assert_eq!(openssl(&sandbox, line), public, "{line}");
    }
    assert_eq!(openssl(&sandbox, "pkey -in a.pem"), sandbox.read("a.pem"));
}

#[test]
fn we_read_what_openssl_writes() {
    let sandbox = Sandbox::new();
    if !has_openssl() {
        return;
    }
    sandbox.write("pass", "correct horse\n");
    for line in [
        "genpkey -algorithm ed25519 -out a.pem",
        "pkey -in a.pem -outform DER -out a.der",
        "pkey -in a.pem -pubout -out a.pub",
        "pkey -in a.pem -pubout -outform DER -out a.pub.der",
        "pkcs8 -topk8 -in a.pem -passout file:pass -out pbkdf2.pem",
        "pkcs8 -topk8 -in a.pem -passout file:pass -scrypt -out scrypt.pem",
        "pkcs8 -topk8 -in a.pem -passout file:pass -v2 aes-128-cbc -outform DER -out pbkdf2.der",
    ] {
        openssl(&sandbox, line);
    }
    let public = sandbox.json("inspect a.pub")["result"]["publicKey"].clone();
    assert_eq!(
        sandbox.json("inspect a.pub.der")["result"]["publicKey"],
        public
    );
    for (name, passphrase) in [
        ("a.pem", ""),
        ("a.der", ""),
        ("pbkdf2.pem", "--pkcs8-passphrase-file pass"),
        ("scrypt.pem", "--pkcs8-passphrase-file pass"),
        ("pbkdf2.der", "--pkcs8-passphrase-file pass"),
    ] {
        sandbox.expect(0, &format!("inspect {name}"));
        let line = format!("keygen --pkcs8 {name} {passphrase} --out from-{name}");
        assert_eq!(sandbox.json(&line)["result"]["publicKey"], public, "{name}");
    }
    // Other kinds of key are named, not guessed at.
    openssl(&sandbox, "genpkey -algorithm x25519 -out x.pem");
    let run = sandbox.expect(4, "keygen --pkcs8 x.pem --out x");
    assert!(run.stderr.contains("not an Ed25519 key"), "{run:?}");
    openssl(
        &sandbox,
        "genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:1024 -out rsa.pem",
    );
    sandbox.expect(4, "keygen --pkcs8 rsa.pem --out x");
}
