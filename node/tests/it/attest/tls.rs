//! TLS between the service and its clients: who is believed, who is refused, what is bounded.

use std::net::SocketAddr;
use std::time::Instant;

use quorate_node::attest::client::{Client, ClientError};
use quorate_node::attest::http::{HEADER_TIME, serve_tls};
use quorate_node::attest::tls::{SelfSigned, TlsError, Trust, self_signed, server_config};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use warp::Filter;

fn made(names: &[&str]) -> SelfSigned {
    let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
    self_signed(&names, (2020, 1, 1), (2100, 1, 1)).unwrap()
}

/// A server that shows this certificate.
async fn served(shown: &SelfSigned) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let config = server_config(shown.certificate.as_bytes(), shown.key.as_bytes()).unwrap();
    let routes = warp::any().map(|| warp::reply::Response::new("here".into()));
    let never = std::future::pending::<()>();
    tokio::spawn(serve_tls(listener, Some(config), routes.boxed(), never));
    address
}

async fn ask(url: &str, trust: &Trust) -> Result<String, String> {
    let client = Client::trusting(url, None, Some(trust)).map_err(|error| error.to_string())?;
    let answer = client.get("/").await.map_err(|error| error.to_string())?;
    Ok(String::from_utf8(answer.1.to_vec()).unwrap())
}

#[tokio::test]
async fn a_service_is_believed_by_its_certificate() {
    let (own, other) = (made(&["127.0.0.1"]), made(&["127.0.0.1"]));
    let address = served(&own).await;
    let url = format!("https://{address}");
    let trust = Trust::authorities(own.certificate.as_bytes()).unwrap();
    assert_eq!(ask(&url, &trust).await.unwrap(), "here");
    // Among others too, as in a system's list.
    let both = [other.certificate.clone(), own.certificate.clone()].concat();
    let both = Trust::authorities(both.as_bytes()).unwrap();
    assert_eq!(ask(&url, &both).await.unwrap(), "here");
    // Somebody else with a certificate for the same address.
    let stranger = Trust::authorities(other.certificate.as_bytes()).unwrap();
    let refused = ask(&url, &stranger).await.unwrap_err();
    assert!(refused.contains("invalid peer certificate"), "{refused}");
    let stranger = Trust::pinned(other.certificate.as_bytes()).unwrap();
    let refused = ask(&url, &stranger).await.unwrap_err();
    assert!(refused.contains("UnknownIssuer"), "{refused}");
}

#[tokio::test]
async fn a_certificate_of_another_name_is_refused_unless_it_is_pinned() {
    let shown = made(&["attest.example.com"]);
    let address = served(&shown).await;
    let url = format!("https://{address}");
    let trust = Trust::authorities(shown.certificate.as_bytes()).unwrap();
    let refused = ask(&url, &trust).await.unwrap_err();
    assert!(refused.contains("not valid for name"), "{refused}");
    let pinned = Trust::pinned(shown.certificate.as_bytes()).unwrap();
    assert_eq!(ask(&url, &pinned).await.unwrap(), "here");
    // An impostor has the certificate, which is public, and not its key.
    let impostor = made(&["attest.example.com"]);
    let error = server_config(shown.certificate.as_bytes(), impostor.key.as_bytes()).unwrap_err();
    assert!(matches!(error, TlsError::Key(_)), "{error}");
}

#[tokio::test]
async fn a_certificate_that_has_ended_is_refused() {
    let names = ["127.0.0.1".to_owned()];
    let ended = self_signed(&names, (2020, 1, 1), (2021, 1, 1)).unwrap();
    let url = format!("https://{}", served(&ended).await);
    let trust = Trust::authorities(ended.certificate.as_bytes()).unwrap();
    let refused = ask(&url, &trust).await.unwrap_err();
    assert!(refused.contains("expired"), "{refused}");
}

#[tokio::test]
async fn who_does_not_shake_hands_is_cut_off_and_holds_nobody_up() {
    let shown = made(&["127.0.0.1"]);
    let address = served(&shown).await;
    let mut silent = TcpStream::connect(address).await.unwrap();
    let mut half = TcpStream::connect(address).await.unwrap();
    half.write_all(&[0x16, 0x03, 0x01, 0x01]).await.unwrap();
    let mut plain = TcpStream::connect(address).await.unwrap();
    let request = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    plain.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    // The end of the connection may show as a reset.
    let _ = plain.read_to_end(&mut answer).await;
    assert!(!answer.starts_with(b"HTTP"), "nothing is said in the clear");
    let trust = Trust::authorities(shown.certificate.as_bytes()).unwrap();
    let asked = Instant::now();
    assert_eq!(
        ask(&format!("https://{address}"), &trust).await.unwrap(),
        "here"
    );
    assert!(asked.elapsed() < HEADER_TIME);
    for stream in [&mut silent, &mut half] {
        let mut rest = Vec::new();
        let ended = tokio::time::timeout(2 * HEADER_TIME, stream.read_to_end(&mut rest)).await;
        ended.expect("the connection ends").ok();
    }
}

#[test]
fn what_is_no_certificate_is_named() {
    let good = made(&["localhost"]);
    let (certificate, key) = (good.certificate.as_bytes(), good.key.as_bytes());
    let config = |certificate: &[u8], key: &[u8]| server_config(certificate, key).unwrap_err();
    assert!(matches!(config(b"", key), TlsError::NoCertificate));
    assert!(matches!(config(key, key), TlsError::NoCertificate));
    for bad in [b"".as_slice(), certificate] {
        let error = config(certificate, bad);
        assert!(
            matches!(error, TlsError::Pem { what: "key", .. }),
            "{error}"
        );
    }
    for bad in [b"".as_slice(), b"junk", key] {
        assert!(Trust::authorities(bad).is_err());
        assert!(Trust::pinned(bad).is_err());
    }
    let junk = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    assert!(matches!(
        Trust::authorities(junk.as_bytes()),
        Err(TlsError::NoCertificate)
    ));
    for name in ["", "a b", "a/b", "*"] {
        let refused = self_signed(&[name.to_owned()], (2020, 1, 1), (2100, 1, 1));
        assert!(matches!(refused, Err(TlsError::Name(_))), "{name:?}");
    }
}

#[test]
fn an_address_says_whether_it_is_private() {
    let shown = made(&["127.0.0.1"]);
    let trust = Trust::authorities(shown.certificate.as_bytes()).unwrap();
    let client = |url: &str, trust| Client::trusting(url, None, trust);
    assert!(matches!(
        client("https://h:1", None),
        Err(ClientError::NoTrust(_))
    ));
    assert!(matches!(
        client("http://h:1", Some(&trust)),
        Err(ClientError::NotTls(_))
    ));
    for bad in [
        "h:1",
        "ftp://h:1",
        "https://h",
        "https://:1",
        "https://h:x",
        "https://a b:1",
    ] {
        let refused = client(bad, Some(&trust));
        assert!(matches!(refused, Err(ClientError::Address(_))), "{bad}");
    }
    let shown = format!(
        "{:?}",
        client("https://[::1]:443/x/", Some(&trust)).unwrap()
    );
    assert_eq!(shown, "Client(https://[::1]:443/x)");
}
