//! The service over TLS, and every command that asks it.

use std::time::{Duration, Instant};

use quorate_node::attest::client::Client;
use quorate_node::attest::store::LeaseToken;
use quorate_node::attest::tls::Trust;
use quorate_verifier::file::FileType;
use serde_json::{Value, json};

use crate::service::{Place, Served};
use crate::support::{has_openssl, openssl};

const PATIENCE: Duration = Duration::from_secs(60);

/// A place whose service has a certificate, and a worker of its own that has no proving key.
fn place() -> Place {
    let place = Place::new();
    let sandbox = &place.sandbox;
    sandbox.expect(0, "keygen --tls localhost --tls 127.0.0.1 --out tls.pem");
    let config = sandbox.text("serve.toml");
    sandbox.write(
        "serve.toml",
        format!(
            "{config}[listen.tls]\ncertificate = \"tls.pem.crt\"\nkey = \"tls.pem\"\n\
             [worker]\nkeys = \"keys\"\n"
        ),
    );
    place
}

struct Asked {
    client: Client,
    runtime: tokio::runtime::Runtime,
}

impl Asked {
    fn new(place: &Place, served: &Served, listener: &str, token: Option<String>) -> Self {
        let trust = Trust::authorities(&place.sandbox.read("tls.pem.crt")).unwrap();
        let url = format!("https://{}", served.listeners[listener]);
        Self {
            client: Client::trusting(&url, token, Some(&trust)).unwrap(),
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap(),
        }
    }

    fn json(&self, path: &str) -> Value {
        let (status, body) = self.runtime.block_on(self.client.get(path)).unwrap();
        assert_eq!(status, 200, "{path}");
        serde_json::from_slice(&body).unwrap()
    }

    fn post(&self, path: &str, body: &Value) -> (u16, Vec<u8>) {
        let asked = self.client.post(path, body.to_string());
        let (status, body) = self.runtime.block_on(asked).unwrap();
        (status.as_u16(), body.to_vec())
    }
}

/// Until it says so, which takes as long as others need.
fn wait(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn every_command_asks_the_service_over_tls() {
    let place = place();
    let sandbox = &place.sandbox;
    (1..=8).for_each(|height| place.feed(height));
    let served = place.serve();
    // The service's own worker finds its way to the operator listener.
    wait("the own worker claims", || {
        let (_, metrics) = served.get("metrics", "/metrics").unwrap();
        let metrics = String::from_utf8(metrics).unwrap();
        metrics.contains("route=\"/v1/worker/claim\",status=\"200\"")
    });
    // Without a key it fails; the proof comes from elsewhere, and by TLS too.
    let token = sandbox.text("worker.token").trim().to_owned();
    let operator = Asked::new(&place, &served, "operator", Some(token));
    let public = Asked::new(&place, &served, "public", None);
    wait("height 8 is proved", || {
        let (status, lease) = operator.post("/v1/worker/claim", &json!({"worker": "test"}));
        if status == 200 {
            let lease: Value = serde_json::from_slice(&lease).unwrap();
            let token: LeaseToken = serde_json::from_value(lease["lease"].clone()).unwrap();
            let height = lease["height"].as_str().unwrap().parse().unwrap();
            let proof = quorate_fixtures::frozen::attestation(height);
            let finish = json!({"lease": token, "attestation": hex::encode(proof.to_file())});
            assert_eq!(operator.post("/v1/worker/finish", &finish).0, 204);
        }
        public.json("/v1/status")["covered"]["height"] == "8"
    });
    let url = format!("https://{}", served.listeners["public"]);
    sandbox.expect(0, "keygen --out cosigner.pem");
    sandbox.expect(0, "keygen --tls 127.0.0.1 --out other.pem");
    let vkey = &place.vkey;
    let log = format!("--log {url}/log/finality --vkey {vkey}");
    for command in [
        format!("log monitor {log} --state monitor"),
        format!("log cosign {log} --state cosigner --key cosigner.pem --name c.example"),
        format!("export --url {url} --from 3 --to 8 --out pack.tar"),
    ] {
        let unsaid = sandbox.expect(4, &command);
        assert!(unsaid.stderr.contains("--ca") || unsaid.stderr.contains("certificate to believe"));
        let stranger = sandbox.run(&format!("{command} --ca other.pem.crt"));
        assert!([3, 5].contains(&stranger.code), "{stranger:?}");
        let said = format!("{}{}", stranger.stdout, stranger.stderr);
        assert!(said.contains("certificate"), "{said}");
        sandbox.expect(4, &format!("{command} --ca finality.pem.pub"));
        sandbox.expect(0, &format!("{command} --ca tls.pem.crt"));
    }
    sandbox.expect(0, "verify pack.tar --policy policy.json");
    // A token is not sent to whoever else answers at that address.
    let operator = &served.listeners["operator"];
    let worker = format!("worker --url https://{operator} --token-file worker.token");
    sandbox.expect(4, &worker);
    sandbox.expect(
        4,
        &format!("worker --url http://{operator} --token-file worker.token --ca tls.pem.crt"),
    );
    // Who speaks in the clear, or an older TLS, is not answered.
    assert_eq!(served.get("public", "/v1/status"), None);
    if has_openssl() {
        let public = &served.listeners["public"];
        let (mut seen, mut refused) = (String::new(), String::new());
        for (version, said) in [("-tls1_3", &mut seen), ("-tls1_2", &mut refused)] {
            let output = std::process::Command::new("openssl")
                .args(["s_client", "-connect", public, version, "-CAfile"])
                .arg(sandbox.path("tls.pem.crt"))
                .stdin(std::process::Stdio::null())
                .output()
                .unwrap();
            *said = String::from_utf8_lossy(&output.stdout).into_owned();
        }
        assert!(seen.contains("Verify return code: 0 (ok)"), "{seen}");
        assert!(
            refused.contains("no peer certificate available"),
            "{refused}"
        );
    }
}

#[test]
fn bad_certificates_and_keys_are_named() {
    let place = place();
    let sandbox = &place.sandbox;
    let good = sandbox.text("serve.toml");
    sandbox.expect(0, "keygen --tls localhost --out other.pem");
    for (from, to, word) in [
        ("\"tls.pem.crt\"", "\"absent.crt\"", "absent.crt"),
        ("\"tls.pem.crt\"", "\"tls.pem\"", "no certificate"),
        (
            "\"tls.pem.crt\"",
            "\"other.pem.crt\"",
            "not the certificate's",
        ),
        ("\"tls.pem\"", "\"tls.pem.crt\"", "tls.pem.crt: key"),
        ("certificate =", "chain =", "unknown field"),
    ] {
        let bad = good.replacen(from, to, 1);
        assert_ne!(bad, good);
        sandbox.write("serve.toml", &bad);
        let run = sandbox.run("serve --config serve.toml");
        assert!([3, 4].contains(&run.code), "{word}: {run:?}");
        assert!(run.stderr.contains(word), "{word}: {run:?}");
    }
}

#[test]
fn a_tls_key_is_made_without_other_tools() {
    let place = place();
    let sandbox = &place.sandbox;
    let mode = |name: &str| crate::support::mode(&sandbox.path(name));
    assert_eq!(mode("tls.pem"), 0o600);
    assert_eq!(mode("tls.pem.crt") & 0o444, mode("serve.toml") & 0o444);
    let again = sandbox.expect(4, "keygen --tls localhost --out tls.pem");
    assert!(again.stderr.contains("tls.pem"), "{again:?}");
    sandbox.expect(4, "keygen --tls a/b --out c.pem");
    sandbox.expect(
        4,
        "keygen --tls localhost --out c.pem --passphrase-file serve.toml",
    );
    sandbox.expect(4, "keygen --out c.pem --days 3");
    let made = sandbox.json("keygen --tls localhost --days 3 --out d.pem");
    assert_eq!(made["result"]["names"], "localhost");
    let secret = sandbox.text("d.pem").lines().nth(1).unwrap().to_owned();
    assert!(!made.to_string().contains(&secret));
    if has_openssl() {
        let shown = openssl(sandbox, "x509 -in tls.pem.crt -noout -text");
        let shown = String::from_utf8(shown).unwrap();
        for word in [
            "DNS:localhost",
            "IP Address:127.0.0.1",
            "TLS Web Server Authentication",
        ] {
            assert!(shown.contains(word), "{word}: {shown}");
        }
        let public = openssl(sandbox, "x509 -in tls.pem.crt -noout -pubkey");
        assert_eq!(public, openssl(sandbox, "pkey -in tls.pem -pubout"));
    }
}
