//! Figures for Prometheus, on a private listener of their own.
//!
//! The listener gives no request more than a few seconds and keeps few connections, so that
//! whoever reaches it cannot wear the node out.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tracing::debug;
use warp::Filter;
use warp::http::Response;

/// Request headers come within this time.
const HEADER_TIME: Duration = Duration::from_secs(5);
/// A connection lives no longer.
const CONNECTION_TIME: Duration = Duration::from_secs(60);
/// Connections at once; others wait.
const CONNECTIONS: usize = 16;

/// The node's figures.
#[derive(Debug)]
pub struct Figures {
    /// Last final height.
    pub height: Gauge,
    /// View of the height in flight.
    pub view: Gauge,
    /// Requests that wait for a block.
    pub waiting: Gauge,
    /// Peers whose links are up.
    pub peers: Gauge,
    /// Final blocks since the start.
    pub blocks: Counter<u64, AtomicU64>,
    /// Executed requests since the start.
    pub requests: Counter<u64, AtomicU64>,
    /// Rules that peers broke.
    pub faults: Counter<u64, AtomicU64>,
    /// Files that were synced.
    pub syncs: Counter<u64, AtomicU64>,
    /// Time of one sync of the vote log.
    pub sync_seconds: Histogram,
    /// Time of one transaction of the block store.
    pub store_seconds: Histogram,
    /// Time of one batch, files and signatures included.
    pub step_seconds: Histogram,
    /// Events in one batch.
    pub batch: Histogram,
    registry: Registry,
}

impl Default for Figures {
    fn default() -> Self {
        let seconds = || Histogram::new(exponential_buckets(0.000_05, 2.0, 16));
        let mut figures = Self {
            height: Gauge::default(),
            view: Gauge::default(),
            waiting: Gauge::default(),
            peers: Gauge::default(),
            blocks: Counter::default(),
            requests: Counter::default(),
            faults: Counter::default(),
            syncs: Counter::default(),
            sync_seconds: seconds(),
            store_seconds: seconds(),
            step_seconds: seconds(),
            batch: Histogram::new(exponential_buckets(1.0, 2.0, 9)),
            registry: Registry::with_prefix("quorate"),
        };
        figures.register();
        figures
    }
}

impl Figures {
    fn register(&mut self) {
        let registry = &mut self.registry;
        registry.register("height", "Last final height", self.height.clone());
        registry.register("view", "View of the height in flight", self.view.clone());
        registry.register(
            "waiting_requests",
            "Requests that wait for a block",
            self.waiting.clone(),
        );
        registry.register("peers", "Peers whose links are up", self.peers.clone());
        registry.register("blocks", "Final blocks", self.blocks.clone());
        registry.register("requests", "Executed requests", self.requests.clone());
        registry.register("faults", "Rules that peers broke", self.faults.clone());
        registry.register("syncs", "Files synced", self.syncs.clone());
        let histograms = [
            ("log_sync", "Syncs of the vote log", &self.sync_seconds),
            (
                "store",
                "Transactions of the block store",
                &self.store_seconds,
            ),
            ("batch", "Batches of events", &self.step_seconds),
        ];
        for (name, help, histogram) in histograms {
            registry.register_with_unit(name, help, Unit::Seconds, histogram.clone());
        }
        registry.register("batch_events", "Events in a batch", self.batch.clone());
    }

    /// All of them in the text format.
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

/// Answers `GET /metrics` and `GET /healthz` for ever.
pub async fn serve(listener: TcpListener, figures: Arc<Figures>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let routes = routes(figures);
    loop {
        let Ok(place) = places.clone().acquire_owned().await else {
            return;
        };
        let socket = match listener.accept().await {
            Ok((socket, _)) => socket,
            Err(error) => {
                debug!("metrics: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let service = TowerToHyperService::new(warp::service(routes.clone()));
        tokio::spawn(async move {
            let mut server =
                hyper_util::server::conn::auto::Builder::new(hyper_util::rt::TokioExecutor::new());
            server
                .http1()
                .timer(TokioTimer::new())
                .header_read_timeout(HEADER_TIME);
            let connection = server.serve_connection(TokioIo::new(socket), service);
            if let Ok(Err(error)) = timeout(CONNECTION_TIME, connection).await {
                debug!("metrics: {error}");
            }
            drop(place);
        });
    }
}

const TEXT: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

fn routes(
    figures: Arc<Figures>,
) -> impl Filter<Extract = (impl warp::Reply,), Error = warp::Rejection> + Clone {
    let metrics = warp::path!("metrics").map(move || {
        Response::builder()
            .header("content-type", TEXT)
            .body(figures.text())
    });
    let health = warp::path!("healthz").map(|| Response::builder().body("ok\n".to_string()));
    let either = metrics.or(health).unify();
    warp::get().or(warp::head()).unify().and(either).boxed()
}
