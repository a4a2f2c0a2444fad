//! Progress of long work, on stderr: a bar for people, lines for logs and programs, or nothing.
//!
//! Work is a list of named phases with a weight each. The estimate starts from the caller's guess
//! and follows what the phases behind us really took.

use std::io::{self, IsTerminal, Write};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Style {
    /// A bar when stderr is a terminal, nothing otherwise
    Auto,
    /// A line for each phase
    Plain,
    /// A JSON object on a line for each phase
    Json,
    /// Nothing
    None,
}

/// A name and a share of the work, in any unit.
pub(crate) type Plan = Vec<(&'static str, f64)>;
/// A name and the seconds that were taken.
pub(crate) type Taken = Vec<(&'static str, f64)>;

/// Shows the phases of one piece of work. Dropped, it clears its bar.
pub(crate) struct Progress {
    style: Style,
    state: Arc<Mutex<State>>,
    ticker: Option<(Sender<()>, JoinHandle<()>)>,
}

/// Where the work stands.
struct State {
    plan: Plan,
    /// Seconds that all of it is thought to take, before anything is known.
    guess: f64,
    begun: Instant,
    /// The phase under way, and when it began.
    current: Option<(usize, Instant)>,
    /// What the phases so far took, in seconds.
    taken: Taken,
}

impl Progress {
    /// `guess` is how many seconds the whole may take.
    pub(crate) fn new(style: Style, plan: Plan, guess: f64) -> Self {
        let state = Arc::new(Mutex::new(State {
            plan,
            guess,
            begun: Instant::now(),
            current: None,
            taken: Vec::new(),
        }));
        let shows_bar = style == Style::Auto && can_draw();
        Self {
            style,
            ticker: shows_bar.then(|| draw(Arc::clone(&state))),
            state,
        }
    }

    /// Ends the phase before and begins this one, which must be in the plan.
    pub(crate) fn enter(&self, name: &'static str) {
        let mut state = self.lock();
        state.leave();
        let place = state.plan.iter().position(|(phase, _)| *phase == name);
        state.current = place.map(|place| (place, Instant::now()));
        let (done, left) = state.estimate();
        // A stderr that is gone is no reason to stop the work.
        let _ = match self.style {
            Style::Plain => writeln!(
                io::stderr(),
                "{:>3.0} %  {name}, about {} left",
                100.0 * done,
                spoken(left)
            ),
            Style::Json => writeln!(
                io::stderr(),
                "{{\"type\":\"quorate/progress/v1\",\"phase\":\"{name}\",\"percent\":{:.0},\
                 \"secondsLeft\":{left:.0}}}",
                100.0 * done
            ),
            Style::Auto | Style::None => Ok(()),
        };
    }

    /// Ends the last phase and answers what each took, in seconds.
    pub(crate) fn finish(self) -> Taken {
        let mut state = self.lock();
        state.leave();
        std::mem::take(&mut state.taken)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some((stop, thread)) = self.ticker.take() {
            drop(stop);
            let _ = thread.join();
        }
    }
}

impl State {
    fn leave(&mut self) {
        if let Some((place, since)) = self.current.take() {
            let seconds = since.elapsed().as_secs_f64();
            self.taken.push((self.plan[place].0, seconds));
        }
    }

    /// The share that is done, and the seconds that are left.
    fn estimate(&self) -> (f64, f64) {
        let all: f64 = self.plan.iter().map(|(_, weight)| weight).sum();
        let weight = |name: &str| self.plan.iter().find(|(phase, _)| *phase == name);
        let behind: f64 = (self.taken.iter())
            .filter_map(|(name, _)| weight(name))
            .map(|(_, weight)| weight)
            .sum();
        let spent: f64 = self.taken.iter().map(|(_, seconds)| seconds).sum();
        let behind = behind / all;
        // The guess counts for less the more is behind us.
        let total = match behind {
            0.0 => self.guess,
            _ => behind.sqrt() * spent / behind + (1.0 - behind.sqrt()) * self.guess,
        };
        let within = self.current.map_or(0.0, |(place, since)| {
            let share = self.plan[place].1 / all;
            share * (since.elapsed().as_secs_f64() / (share * total).max(0.001)).min(0.99)
        });
        let done = behind + within;
        (done, (1.0 - done) * total)
    }
}

/// A bar that moves with time, on a thread of its own.
fn draw(state: Arc<Mutex<State>>) -> (Sender<()>, JoinHandle<()>) {
    let (stop, stopped) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        let target = ProgressDrawTarget::stderr_with_hz(10);
        let bar = ProgressBar::with_draw_target(Some(1000), target);
        let style = ProgressStyle::with_template("{bar:30} {percent:>3} %  {msg}");
        bar.set_style(style.expect("a good template"));
        while stopped.recv_timeout(Duration::from_millis(100)) == Err(RecvTimeoutError::Timeout) {
            let state = state.lock().unwrap_or_else(PoisonError::into_inner);
            let (done, left) = state.estimate();
            let name = state.current.map_or("", |(place, _)| state.plan[place].0);
            let spent = spoken(state.begun.elapsed().as_secs_f64());
            bar.set_message(format!("{name}, {spent}, about {} left", spoken(left)));
            #[allow(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "between 0 and 1000"
            )]
            bar.set_position((1000.0 * done) as u64);
        }
        bar.finish_and_clear();
    });
    (stop, thread)
}

/// Whether a bar can be drawn and is wanted.
fn can_draw() -> bool {
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    io::stderr().is_terminal() && !dumb
}

/// Seconds in words.
pub(crate) fn spoken(seconds: f64) -> String {
    match seconds {
        s if s < 10.0 => format!("{s:.1} s"),
        s if s < 100.0 => format!("{s:.0} s"),
        s => format!("{:.0} min", s / 60.0),
    }
}

/// Bytes in words.
pub(crate) fn spoken_bytes(bytes: u64) -> String {
    #[allow(clippy::cast_precision_loss, reason = "rounded for people")]
    let bytes = bytes as f64;
    match bytes {
        b if b < 1e6 => format!("{:.0} kB", b / 1e3),
        b if b < 1e9 => format!("{:.0} MB", b / 1e6),
        b => format!("{:.1} GB", b / 1e9),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_estimate_follows_what_was_measured() {
        let plan = vec![("a", 1.0), ("b", 3.0)];
        let progress = Progress::new(Style::None, plan, 100.0);
        let near = |x: f64, y: f64| (x - y).abs() < 1.0;
        let (done, left) = progress.lock().estimate();
        assert!(done == 0.0 && near(left, 100.0));
        // The first quarter took 5 seconds where 25 were thought.
        progress.lock().taken.push(("a", 5.0));
        let (done, left) = progress.lock().estimate();
        assert!(done == 0.25 && near(left, 0.75 * (0.5 * 20.0 + 0.5 * 100.0)));
        progress.enter("b");
        let (done, _) = progress.lock().estimate();
        assert!((0.25..1.0).contains(&done));
        let taken: Vec<_> = progress.finish().iter().map(|(name, _)| *name).collect();
        assert_eq!(taken, ["a", "b"]);
    }

    #[test]
    fn figures_are_spoken_in_the_unit_that_fits() {
        assert_eq!(
            [spoken(0.25), spoken(42.4), spoken(600.0)],
            ["0.2 s", "42 s", "10 min"]
        );
        let sizes = [1_500, 2_500_000, 1_600_000_000].map(spoken_bytes);
        assert_eq!(sizes, ["2 kB", "2 MB", "1.6 GB"]);
    }
}
