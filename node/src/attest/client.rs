//! A small HTTP client for our own services: one request, one connection.
//!
//! An `https://` address takes a [`Trust`]: nothing is believed that the user did not name.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use quorate_verifier::primitives::Digest;
use quorate_verifier::tlog::Checkpoint;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use warp::http::{Request, StatusCode, header};

use super::log::{
    KeyPeriod, LogReader, ReadError, TileSource, bundle_path, parse_keys, split_bundle, tile_path,
};
use super::tls::Trust;

/// Longest answer.
const ANSWER_MAX_BYTES: usize = 32 << 20;
/// A request and its answer take no longer.
const TIME: Duration = Duration::from_secs(30);

/// Where a service is, and how to ask it.
#[derive(Clone)]
pub struct Client {
    authority: String,
    prefix: String,
    bearer: Option<String>,
    tls: Option<(Trust, ServerName<'static>)>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Client({})", self.address())
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// An address that is none.
    #[error("{0:?} is not of the form http://HOST:PORT[/PATH] or https://HOST:PORT[/PATH]")]
    Address(String),
    /// An `https://` address, and no word of whom to believe.
    #[error("{0}: https needs the certificate to believe, or of the one that signed it")]
    NoTrust(String),
    /// An `http://` address where a certificate was named: what was meant to be private is not.
    #[error("{0}: a certificate to believe was given, and http shows none: is https meant?")]
    NotTls(String),
    /// Nobody answers, or not in time.
    #[error("{address}: {what}")]
    Unreachable {
        /// Who was asked.
        address: String,
        /// What happened.
        what: String,
    },
}

impl Client {
    /// Asks the service at `http://HOST:PORT[/PATH]`, with a bearer token if one is needed.
    ///
    /// # Errors
    /// As [`Client::trusting`].
    pub fn new(url: &str, bearer: Option<String>) -> Result<Self, ClientError> {
        Self::trusting(url, bearer, None)
    }

    /// The same, or over TLS at `https://`, which takes a `trust`.
    ///
    /// # Errors
    /// [`ClientError::Address`], [`ClientError::NoTrust`], [`ClientError::NotTls`].
    pub fn trusting(
        url: &str,
        bearer: Option<String>,
        trust: Option<&Trust>,
    ) -> Result<Self, ClientError> {
        let wrong = || ClientError::Address(url.into());
        let (scheme, rest) = url.split_once("://").ok_or_else(wrong)?;
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (host, port) = authority.rsplit_once(':').ok_or_else(wrong)?;
        if host.is_empty() || port.parse::<u16>().is_err() {
            return Err(wrong());
        }
        let tls = match (scheme, trust) {
            ("http", None) => None,
            ("http", Some(_)) => return Err(ClientError::NotTls(url.into())),
            ("https", Some(trust)) => {
                let host = host.trim_start_matches('[').trim_end_matches(']');
                let name = ServerName::try_from(host.to_owned()).map_err(|_| wrong())?;
                Some((trust.clone(), name))
            }
            ("https", None) => return Err(ClientError::NoTrust(url.into())),
            _ => return Err(wrong()),
        };
        let prefix = match path.trim_end_matches('/') {
            "" => String::new(),
            path => format!("/{path}"),
        };
        Ok(Self {
            authority: authority.into(),
            prefix,
            bearer,
            tls,
        })
    }

    fn address(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}{}", self.authority, self.prefix)
    }

    /// `GET`.
    ///
    /// # Errors
    /// [`ClientError::Unreachable`].
    pub async fn get(&self, path: &str) -> Result<(StatusCode, Bytes), ClientError> {
        self.ask("GET", path, Bytes::new()).await
    }

    /// `POST`.
    ///
    /// # Errors
    /// [`ClientError::Unreachable`].
    pub async fn post(
        &self,
        path: &str,
        body: impl Into<Bytes>,
    ) -> Result<(StatusCode, Bytes), ClientError> {
        self.ask("POST", path, body.into()).await
    }

    async fn ask(
        &self,
        method: &str,
        path: &str,
        body: Bytes,
    ) -> Result<(StatusCode, Bytes), ClientError> {
        let failed = |what: String| ClientError::Unreachable {
            address: self.address(),
            what,
        };
        match timeout(TIME, self.ask_once(method, path, body)).await {
            Ok(answer) => answer.map_err(|error| failed(error.to_string())),
            Err(_) => Err(failed("no answer within 30 seconds".into())),
        }
    }

    async fn ask_once(
        &self,
        method: &str,
        path: &str,
        body: Bytes,
    ) -> Result<(StatusCode, Bytes), Box<dyn std::error::Error + Send + Sync>> {
        let stream = TcpStream::connect(&self.authority).await?;
        match &self.tls {
            None => self.ask_on(stream, method, path, body).await,
            Some((trust, name)) => {
                let connector = TlsConnector::from(trust.config());
                let stream = connector.connect(name.clone(), stream).await?;
                self.ask_on(stream, method, path, body).await
            }
        }
    }

    async fn ask_on(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        method: &str,
        path: &str,
        body: Bytes,
    ) -> Result<(StatusCode, Bytes), Box<dyn std::error::Error + Send + Sync>> {
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let driver = tokio::spawn(connection);
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.prefix))
            .header(header::HOST, &self.authority)
            .header(header::CONNECTION, "close");
        if let Some(bearer) = &self.bearer {
            request = request.header(header::AUTHORIZATION, format!("Bearer {bearer}"));
        }
        let answer = sender.send_request(request.body(Full::new(body))?).await?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), ANSWER_MAX_BYTES)
            .collect()
            .await?;
        driver.abort();
        Ok((status, body.to_bytes()))
    }
}

/// A log over HTTP, at the address that ends in `/log/finality`. Blocks: for commands.
#[derive(Debug)]
pub struct HttpReader {
    client: Client,
    runtime: tokio::runtime::Runtime,
}

impl HttpReader {
    /// The log at this address.
    ///
    /// # Errors
    /// As [`Client::trusting`], or the system has no threads.
    pub fn new(url: &str, bearer: Option<String>) -> Result<Self, ClientError> {
        Self::trusting(url, bearer, None)
    }

    /// The same, or over TLS at `https://`, which takes a `trust`.
    ///
    /// # Errors
    /// As [`HttpReader::new`].
    pub fn trusting(
        url: &str,
        bearer: Option<String>,
        trust: Option<&Trust>,
    ) -> Result<Self, ClientError> {
        let client = Client::trusting(url, bearer, trust)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| ClientError::Unreachable {
                address: url.into(),
                what: error.to_string(),
            })?;
        Ok(Self { client, runtime })
    }

    fn fetch(&self, path: &str) -> io::Result<Bytes> {
        let (status, body) = self
            .runtime
            .block_on(self.client.get(path))
            .map_err(io::Error::other)?;
        match status {
            StatusCode::OK => Ok(body),
            StatusCode::NOT_FOUND => Err(io::Error::new(io::ErrorKind::NotFound, path.to_owned())),
            other => Err(io::Error::other(format!("{path}: HTTP {other}"))),
        }
    }

    /// The newest checkpoint that a cosigner signed, if there is one; nothing of it verified.
    ///
    /// # Errors
    /// What reading says, and `InvalidData` for what is no checkpoint.
    pub fn cosigned(&self) -> io::Result<Option<Checkpoint>> {
        let bytes = match self.fetch("/cosigned") {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other?,
        };
        let wrong = |what: String| io::Error::new(io::ErrorKind::InvalidData, what);
        let text = std::str::from_utf8(&bytes).map_err(|error| wrong(error.to_string()))?;
        let checkpoint = text.parse::<Checkpoint>();
        checkpoint
            .map(Some)
            .map_err(|error| wrong(error.to_string()))
    }

    /// Hands a cosigned checkpoint to the log.
    ///
    /// # Errors
    /// What the log answers, in words.
    pub fn hand_in(&self, cosigned: &Checkpoint) -> io::Result<()> {
        let asked = self.client.post("/cosigned", cosigned.to_string());
        let (status, body) = self.runtime.block_on(asked).map_err(io::Error::other)?;
        if status.is_success() {
            return Ok(());
        }
        let body = String::from_utf8_lossy(&body).into_owned();
        Err(io::Error::other(format!("HTTP {status}: {body}")))
    }
}

impl TileSource for HttpReader {
    fn tile(&self, level: u8, index: u64, width: u64) -> io::Result<Vec<Digest>> {
        let bytes = self.fetch(&format!("/{}", tile_path(level, index, width)))?;
        Ok(bytes
            .as_chunks::<32>()
            .0
            .iter()
            .map(|bytes| Digest::from_bytes(*bytes))
            .collect())
    }
}

impl LogReader for HttpReader {
    fn checkpoint(&self) -> Result<Checkpoint, ReadError> {
        let failed = |error| ReadError::Io {
            what: self.client.address(),
            error,
        };
        let bytes = match self.fetch("/checkpoint") {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(ReadError::NoLog),
            other => other.map_err(failed)?,
        };
        let text = std::str::from_utf8(&bytes)
            .map_err(|error| failed(io::Error::new(io::ErrorKind::InvalidData, error)))?;
        Ok(text.parse()?)
    }

    fn bundle(&self, index: u64, width: u64) -> io::Result<Vec<Vec<u8>>> {
        let bytes = self.fetch(&format!("/{}", bundle_path(index, width)))?;
        split_bundle(&bytes, width)
    }

    fn keys(&self) -> io::Result<Vec<KeyPeriod>> {
        let bytes = self.fetch("/keys")?;
        parse_keys(&bytes).map_err(|what| io::Error::new(io::ErrorKind::InvalidData, what))
    }
}
