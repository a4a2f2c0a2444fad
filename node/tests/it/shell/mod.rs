//! The shell: whole nodes on loopback.

mod bench;
mod cluster;
mod floods;
mod memory;
mod states;
