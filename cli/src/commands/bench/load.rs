//! Load on an HTTP server: as fast as it answers, or at a rate that it does not choose.
//!
//! *Closed*: each connection asks again once it is answered; that gives the highest rate. *Open*:
//! each request has a time at which it is due, and its latency is counted from then, whether or not
//! the connection was free: a server that stalls is charged for all that was due meanwhile.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

/// Longest header of an answer.
const HEAD_MAX_BYTES: usize = 16 << 10;
/// An answer that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(30);

/// What is asked, and of whom.
#[derive(Clone)]
pub(super) struct Target {
    address: SocketAddr,
    request: String,
}

/// Latencies in microseconds, in increasing order.
pub(super) struct Load {
    /// Answers in a second.
    pub(super) rate: f64,
    latencies: Vec<u32>,
}

impl Load {
    fn new(seconds: f64, mut latencies: Vec<u32>) -> Self {
        latencies.sort_unstable();
        #[allow(clippy::cast_precision_loss, reason = "a count of requests")]
        let rate = latencies.len() as f64 / seconds;
        Self { rate, latencies }
    }

    /// Answers.
    pub(super) fn count(&self) -> usize {
        self.latencies.len()
    }

    /// The latency that so many thousandths of all answers do not pass.
    pub(super) fn permille(&self, permille: usize) -> Duration {
        let place = (self.latencies.len() * permille).div_ceil(1000).max(1) - 1;
        let found = self.latencies.get(place).or(self.latencies.last());
        Duration::from_micros(found.copied().unwrap_or_default().into())
    }
}

impl Target {
    /// `GET` of a path.
    pub(super) fn new(address: SocketAddr, path: &str) -> Self {
        Self {
            address,
            request: format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n"),
        }
    }

    /// Body of one answer.
    ///
    /// # Errors
    /// Anything but a 200.
    pub(super) async fn once(&self) -> io::Result<Vec<u8>> {
        let mut connection = Connection::open(self).await?;
        let range = connection.ask(self).await?;
        Ok(connection.buffer[range].to_vec())
    }

    /// As many answers as there are, from so many connections.
    ///
    /// # Errors
    /// Any answer but a 200, or a connection that ends.
    pub(super) async fn closed(&self, connections: usize, time: Duration) -> io::Result<Load> {
        let start = Instant::now();
        let one = |_| {
            let target = self.clone();
            async move {
                let mut connection = Connection::open(&target).await?;
                let mut latencies = Vec::new();
                while start.elapsed() < time {
                    let asked = Instant::now();
                    connection.ask(&target).await?;
                    latencies.push(micros(asked.elapsed()));
                }
                Ok(latencies)
            }
        };
        let latencies = all(connections, one).await?;
        Ok(Load::new(start.elapsed().as_secs_f64(), latencies))
    }

    /// Requests that are due at a steady rate, in turn on so many connections.
    ///
    /// # Errors
    /// As [`Target::closed`].
    pub(super) async fn open(
        &self,
        connections: usize,
        rate: f64,
        time: Duration,
    ) -> io::Result<Load> {
        // Connections are there before the first request is due.
        let start = Instant::now() + Duration::from_millis(200);
        let one = |place: usize| {
            let target = self.clone();
            async move {
                let mut connection = Connection::open(&target).await?;
                let mut latencies = Vec::new();
                for number in (place..).step_by(connections) {
                    #[allow(clippy::cast_precision_loss, reason = "a count of requests")]
                    let due = Duration::from_secs_f64(number as f64 / rate);
                    if due >= time {
                        break;
                    }
                    sleep_until(start + due).await;
                    connection.ask(&target).await?;
                    latencies.push(micros((start + due).elapsed()));
                }
                Ok(latencies)
            }
        };
        let latencies = all(connections, one).await?;
        let seconds = start.elapsed().max(time).as_secs_f64();
        Ok(Load::new(seconds, latencies))
    }
}

fn micros(time: Duration) -> u32 {
    u32::try_from(time.as_micros()).unwrap_or(u32::MAX)
}

async fn all<F>(connections: usize, one: impl Fn(usize) -> F) -> io::Result<Vec<u32>>
where
    F: Future<Output = io::Result<Vec<u32>>> + Send + 'static,
{
    let mut tasks = JoinSet::new();
    for place in 0..connections {
        tasks.spawn(one(place));
    }
    let mut latencies = Vec::new();
    while let Some(ended) = tasks.join_next().await {
        latencies.extend(ended.map_err(io::Error::other)??);
    }
    Ok(latencies)
}

/// A connection that is kept.
struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    async fn open(target: &Target) -> io::Result<Self> {
        let stream = TcpStream::connect(target.address).await?;
        stream.set_nodelay(true)?;
        let buffer = Vec::with_capacity(HEAD_MAX_BYTES);
        Ok(Self { stream, buffer })
    }

    /// Where in the buffer the answer's body is.
    async fn ask(&mut self, target: &Target) -> io::Result<std::ops::Range<usize>> {
        let answer = tokio::time::timeout(PATIENCE, self.ask_in_time(target)).await;
        answer.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
    }

    async fn ask_in_time(&mut self, target: &Target) -> io::Result<std::ops::Range<usize>> {
        self.stream.write_all(target.request.as_bytes()).await?;
        self.buffer.clear();
        loop {
            if let Some(body) = body(&self.buffer)?
                && self.buffer.len() >= body.end
            {
                return Ok(body);
            }
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

/// Where the body of an answer is, once its header is whole.
fn body(answer: &[u8]) -> io::Result<Option<std::ops::Range<usize>>> {
    let wrong = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
    let Some(end) = answer.windows(4).position(|four| four == b"\r\n\r\n") else {
        return match answer.len() > HEAD_MAX_BYTES {
            true => Err(wrong("a header without an end")),
            false => Ok(None),
        };
    };
    let head = std::str::from_utf8(&answer[..end]).map_err(|_| wrong("a header of no text"))?;
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap_or_default();
    if !status.starts_with("HTTP/1.1 200 ") {
        return Err(wrong(status));
    }
    let length = lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        let is_length = name.eq_ignore_ascii_case("content-length");
        is_length.then(|| value.trim().parse::<usize>().ok())?
    });
    let length = length.ok_or_else(|| wrong("an answer without its length"))?;
    Ok(Some(end + 4..end + 4 + length))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    /// Answers at once, apart from one stall.
    async fn stalling(listener: TcpListener, at: usize, stall: Duration) {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        for number in 0.. {
            let mut request = [0; 1024];
            if stream.read(&mut request).await.expect("a request") == 0 {
                return;
            }
            if number == at {
                tokio::time::sleep(stall).await;
            }
            let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
            stream.write_all(answer).await.expect("an answer");
        }
    }

    #[tokio::test]
    async fn a_stall_is_charged_to_all_that_was_due() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let target = Target::new(listener.local_addr().expect("an address"), "/");
        tokio::spawn(stalling(listener, 20, Duration::from_millis(500)));
        let load = target.open(1, 100.0, Duration::from_secs(1)).await;
        let load = load.expect("answers");
        assert_eq!(load.count(), 100);
        // One of a hundred was slow; fifty were due while it was.
        assert!(load.permille(990) >= Duration::from_millis(480));
        assert!(load.permille(600) >= Duration::from_millis(80));
        assert!(load.permille(100) < load.permille(900));
    }

    #[test]
    fn answers_are_told_apart() {
        assert!(
            body(b"HTTP/1.1 200 OK\r\nContent-")
                .expect("so far")
                .is_none()
        );
        let whole = b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc";
        let found = body(whole).expect("an answer").expect("whole");
        assert_eq!(&whole[found], b"abc");
        assert!(body(b"HTTP/1.1 404 Not Found\r\n\r\n").is_err());
        assert!(
            body(b"HTTP/1.1 200 OK\r\n\r\n").is_err(),
            "without a length"
        );
        assert!(body(&[b'a'; HEAD_MAX_BYTES + 1]).is_err());
    }
}
