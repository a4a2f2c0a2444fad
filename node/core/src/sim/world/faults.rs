//! Power, disks and clocks: what a world does to its nodes.

use super::{OFF_MS, What, World};
use crate::defect::Build;
use crate::sim::disk::Disk;
use crate::sim::keys::Crypto;
use crate::sim::machine::Down;
use crate::sim::workload::Workload;

impl<C: Crypto, B: Build + Clone, W: Workload> World<C, B, W> {
    pub(super) fn weak_node(&mut self) -> Option<usize> {
        let weak: Vec<_> = (0..self.nodes.len())
            .filter(|n| self.nodes[*n].weak)
            .collect();
        if weak.is_empty() {
            None
        } else {
            Some(weak[self.fault_rng.place(weak.len())])
        }
    }

    pub(super) fn disk_fault(&mut self) {
        let Some(node) = self.weak_node() else { return };
        self.counts.faults += 1;
        match self.fault_rng.below(3) {
            0 => self.nodes[node].machine.disk.fails_next_sync = true,
            1 => self.nodes[node].machine.disk.capacity = Some(0),
            _ => {
                self.crash(node);
                self.nodes[node].machine.disk.flip_bit(&mut self.fault_rng);
            }
        }
    }

    /// A node loses its whole disk, its signer's mark too, and comes back knowing that.
    pub fn wipe(&mut self, node: usize) {
        self.crash(node);
        let nonce = self.fault_rng.next();
        let machine = &mut self.nodes[node].machine;
        machine.disk.wipe();
        machine.mark = None;
        machine.wiped = Some(nonce);
        self.counts.faults += 1;
    }

    /// A node loses power, and comes back after a while.
    pub fn crash(&mut self, node: usize) {
        self.stop(node);
        let off_ms = 1 + self.fault_rng.below(OFF_MS);
        self.schedule(off_ms, What::Start { node });
    }

    /// A node loses power, and stays off.
    pub fn stop(&mut self, node: usize) {
        self.counts.crashes += 1;
        self.trace.number(0xc0ff ^ node as u64);
        self.nodes[node].machine.crash(&mut self.fault_rng);
        self.nodes[node].wake = None;
    }

    /// A node that is off starts.
    pub fn start(&mut self, node: usize) {
        if self.nodes[node].machine.is_up() {
            return;
        }
        let now = self.clock(node);
        let output = self.nodes[node].machine.start(now);
        let height = self.core(node).map_or(0, |core| core.height().get() - 1);
        self.oracle.restarted(node, height);
        self.handle(node, output);
    }

    pub(super) fn went_down(&mut self, node: usize, correct: bool) {
        self.nodes[node].wake = None;
        match self.nodes[node].machine.down.clone() {
            Some(Down::Off) => self.crash(node),
            Some(Down::Disk(_)) => {
                // An operator frees some space and starts it again.
                self.nodes[node].machine.crash(&mut self.fault_rng);
                self.nodes[node].machine.disk.capacity = None;
                self.schedule(OFF_MS, What::Start { node });
            }
            Some(Down::Halted(why)) if correct => self.oracle.halted(node, &why),
            _ => {}
        }
    }

    /// Faults end: links are good, everybody is up. Liars go on lying.
    pub fn heal(&mut self) {
        self.healed = true;
        self.network.open_all();
        self.network.weather = self.setup.calm;
        for node in 0..self.nodes.len() {
            self.nodes[node].machine.disk.capacity = None;
            self.nodes[node].machine.disk.fails_next_sync = false;
            self.nodes[node].machine.disk.crash_in = None;
            if !self.nodes[node].machine.is_up() && self.nodes[node].machine.down == Some(Down::Off)
            {
                self.start(node);
            }
        }
    }

    /// What a node's disk holds, to be restored later.
    pub fn image(&self, node: usize) -> Disk {
        self.nodes[node].machine.disk.clone()
    }

    /// A node that is off gets an old disk; its signer remembers, unless that is old too.
    pub fn restore(&mut self, node: usize, image: Disk, old_mark: bool) {
        let machine = &mut self.nodes[node].machine;
        machine.disk = image;
        if old_mark {
            machine.mark = None;
        }
    }

    /// Sets a node's clock against true time, in ms.
    pub fn set_clock(&mut self, node: usize, ms: i64) {
        self.nodes[node].clock_ms = ms;
    }

    /// A node's disk.
    pub fn disk(&mut self, node: usize) -> &mut Disk {
        &mut self.nodes[node].machine.disk
    }
}
