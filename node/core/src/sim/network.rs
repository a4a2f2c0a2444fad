//! Links that lose, delay, repeat and reorder, one way at a time.

use super::rng::Rng;

/// How bad the links are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Weather {
    /// Shortest delay, in ms.
    pub delay_min_ms: u64,
    /// Longest delay, in ms; a spread reorders.
    pub delay_max_ms: u64,
    /// Lost messages in a thousand.
    pub loss: u64,
    /// Repeated messages in a thousand.
    pub repeats: u64,
    /// Messages in a thousand that come very late.
    pub stragglers: u64,
}

impl Weather {
    /// One millisecond each way, nothing lost.
    pub const CALM: Self = Self {
        delay_min_ms: 1,
        delay_max_ms: 1,
        loss: 0,
        repeats: 0,
        stragglers: 0,
    };
}

/// A straggler comes up to this much later, in ms.
const STRAGGLE_MS: u64 = 400;

/// The links between all nodes, each direction by itself.
#[derive(Clone, Debug)]
pub struct Network {
    /// How bad the links are at present.
    pub weather: Weather,
    nodes: usize,
    closed: Vec<bool>,
    /// What each direction of each link takes longer than the weather says, in ms.
    longer: Vec<u64>,
}

impl Network {
    pub(crate) fn new(nodes: usize, weather: Weather) -> Self {
        Self {
            weather,
            nodes,
            closed: vec![false; nodes * nodes],
            longer: vec![0; nodes * nodes],
        }
    }

    /// Whether messages from one node reach another.
    pub fn is_open(&self, from: usize, to: usize) -> bool {
        !self.closed[from * self.nodes + to]
    }

    /// Closes or opens one direction of one link.
    pub fn set_open(&mut self, from: usize, to: usize, open: bool) {
        self.closed[from * self.nodes + to] = !open;
    }

    /// Makes one direction of one link slower, in ms.
    pub fn slow(&mut self, from: usize, to: usize, ms: u64) {
        self.longer[from * self.nodes + to] = ms;
    }

    /// Leaves each node the link to the next one only.
    pub fn one_way_ring(&mut self) {
        let count = self.nodes;
        for from in 0..count {
            for to in 0..count {
                self.set_open(from, to, to == (from + 1) % count);
            }
        }
    }

    /// Opens every link.
    pub fn open_all(&mut self) {
        self.closed.fill(false);
    }

    /// Lets messages pass within each group only.
    pub fn split(&mut self, group_of: impl Fn(usize) -> usize) {
        for from in 0..self.nodes {
            for to in 0..self.nodes {
                self.set_open(from, to, group_of(from) == group_of(to));
            }
        }
    }

    /// Cuts what a node sends, what it hears, or both.
    pub fn cut(&mut self, node: usize, sends: bool, hears: bool) {
        for other in 0..self.nodes {
            if sends {
                self.set_open(node, other, false);
            }
            if hears {
                self.set_open(other, node, false);
            }
        }
    }

    /// Leaves each node only its two neighbours.
    pub fn ring(&mut self) {
        let count = self.nodes;
        for from in 0..count {
            for to in 0..count {
                let apart = from.abs_diff(to);
                self.set_open(from, to, apart <= 1 || apart == count - 1);
            }
        }
    }

    /// When the copies of a message arrive, in ms from now; none if it is lost.
    pub(crate) fn arrivals(&self, from: usize, to: usize, rng: &mut Rng) -> [Option<u64>; 2] {
        let weather = &self.weather;
        if !self.is_open(from, to) || rng.chance(weather.loss) {
            return [None; 2];
        }
        let longer = self.longer[from * self.nodes + to];
        let mut delay = || {
            let late = if rng.chance(weather.stragglers) {
                rng.below(STRAGGLE_MS)
            } else {
                0
            };
            rng.between(weather.delay_min_ms, weather.delay_max_ms) + late + longer
        };
        let first = delay();
        let second = delay();
        [Some(first), rng.chance(weather.repeats).then_some(second)]
    }

    /// A random change of the links among the first `count` nodes.
    pub(crate) fn disturb(&mut self, rng: &mut Rng) {
        self.open_all();
        let node = rng.place(self.nodes);
        match rng.below(8) {
            0 => self.cut(node, true, false),
            1 => self.cut(node, false, true),
            2 => self.cut(node, true, true),
            3 => {
                let halves = rng.next();
                self.split(|n| usize::from(halves >> n & 1 == 1));
            }
            4 => self.ring(),
            5 => {
                let other = rng.place(self.nodes);
                self.set_open(node, other, false);
            }
            6 => {
                for link in &mut self.closed {
                    *link = rng.chance(250);
                }
            }
            _ => {} // all open
        }
    }
}
