//! Our own accept loop: warp routes, and this keeps connections within their limits.
//!
//! A header comes within five seconds or the connection ends; there are at most so many
//! connections; shutting down waits a while for answers under way and then no longer.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use warp::filters::BoxedFilter;
use warp::reply::Response;

/// Most connections of one listener.
pub const CONNECTIONS_MAX: usize = 1024;
/// A request's header comes within this time, also the next one of an idle connection.
pub const HEADER_TIME: Duration = Duration::from_secs(5);
/// Most bytes of a request's header.
const HEADER_MAX_BYTES: usize = 16 << 10;
/// Answers under way have this long when the service ends.
const SHUTDOWN_TIME: Duration = Duration::from_secs(5);
/// After a failed accept, such as for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves one listener until `stop` is ready.
pub async fn serve(
    listener: TcpListener,
    routes: BoxedFilter<(Response,)>,
    stop: impl Future<Output = ()>,
) {
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIME)
        .max_buf_size(HEADER_MAX_BYTES)
        .keep_alive(true);
    let graceful = GracefulShutdown::new();
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let service = warp::service(routes);
    let mut stop = std::pin::pin!(stop);
    loop {
        // A connection waits in the system's queue until there is a place for it.
        let place = tokio::select! {
            () = &mut stop => break,
            place = Arc::clone(&places).acquire_owned() => place,
        };
        let Ok(place) = place else { break };
        let accepted = tokio::select! {
            () = &mut stop => break,
            accepted = listener.accept() => accepted,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "a connection was not accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let _ = stream.set_nodelay(true);
        let service = TowerToHyperService::new(service.clone());
        let connection = builder.serve_connection(TokioIo::new(stream), service);
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            // What a client does wrong on its connection ends that connection only.
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection ended");
            }
            drop(place);
        });
    }
    drop(listener);
    if tokio::time::timeout(SHUTDOWN_TIME, graceful.shutdown())
        .await
        .is_err()
    {
        tracing::warn!("connections that did not end in time are cut");
    }
}
