//! Bodies that cost nothing to make: what other answers are compared with under load.

use bytes::Bytes;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::http::StatusCode;
use warp::reply::{Reply, Response};

/// Longest body.
const BYTES_MAX: usize = 64 << 10;

/// The same routes, and before them `GET /bench/N`, which answers N bytes that are there already.
pub fn with_fixed_bodies(routes: BoxedFilter<(Response,)>) -> BoxedFilter<(Response,)> {
    let all = Bytes::from(vec![b'.'; BYTES_MAX]);
    let fixed = warp::get()
        .and(warp::path!("bench" / usize))
        .map(move |bytes: usize| {
            if bytes > BYTES_MAX {
                return StatusCode::NOT_FOUND.into_response();
            }
            warp::http::Response::new(all.slice(..bytes)).into_response()
        });
    fixed.or(routes).unify().boxed()
}
