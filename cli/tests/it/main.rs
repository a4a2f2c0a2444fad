//! The real binary, run as its users run it.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot read its own files should stop"
)]

mod approve;
mod certificate;
mod contract;
mod docs;
mod doctor;
mod evidence;
mod founding;
mod hostile;
mod inspect;
mod keygen;
mod keys;
mod ledger;
mod light_client;
mod network;
#[cfg(target_os = "linux")]
mod offline;
mod prove;
mod service;
#[cfg(target_os = "linux")]
mod service_killed;
mod service_tls;
mod simulate;
mod support;
mod verify;
mod walk;
