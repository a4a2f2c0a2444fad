//! What the machine has: memory, room on disk, and how much memory this process took at most.
//!
//! Only what the operating system says without being asked twice. `None` means that it does not
//! say; then nothing is refused for it.

use std::fs;
use std::path::Path;

/// Bytes that this process may still take without the machine running out of memory: what the
/// kernel calls available, or what is left of the control group's limit if that is less.
#[must_use]
pub fn available_memory() -> Option<u64> {
    let system = kilobytes(&fs::read_to_string("/proc/meminfo").ok()?, "MemAvailable:")?;
    Some(group_memory().map_or(system, |group| group.min(system)))
}

/// Bytes of memory that the machine has.
#[must_use]
pub fn total_memory() -> Option<u64> {
    kilobytes(&fs::read_to_string("/proc/meminfo").ok()?, "MemTotal:")
}

/// The most memory that this process has held so far, in bytes.
#[must_use]
pub fn peak_memory() -> Option<u64> {
    kilobytes(&fs::read_to_string("/proc/self/status").ok()?, "VmHWM:")
}

/// The memory that this process holds now, in bytes.
#[must_use]
pub fn held_memory() -> Option<u64> {
    kilobytes(&fs::read_to_string("/proc/self/status").ok()?, "VmRSS:")
}

/// Seconds that processors worked for this process, all threads together: on a busy machine this
/// says more than a clock does.
#[cfg(unix)]
#[must_use]
pub fn processor_seconds() -> Option<f64> {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    #[allow(clippy::cast_precision_loss, reason = "a time, for people")]
    let seconds = time.tv_sec as f64 + time.tv_nsec as f64 / 1e9;
    Some(seconds)
}

/// Seconds that processors worked for this process, all threads together.
#[cfg(not(unix))]
#[must_use]
pub fn processor_seconds() -> Option<f64> {
    None
}

/// The processor's name, as the kernel tells it.
#[must_use]
pub fn processor() -> Option<String> {
    let listing = fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = listing
        .lines()
        .find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_string())
}

/// Bytes that may still be written to the file system of `dir`.
#[cfg(unix)]
#[must_use]
pub fn free_disk(dir: &Path) -> Option<u64> {
    let system = rustix::fs::statvfs(dir).ok()?;
    system.f_bavail.checked_mul(system.f_frsize)
}

/// Bytes that may still be written to the file system of `dir`.
#[cfg(not(unix))]
#[must_use]
pub fn free_disk(_: &Path) -> Option<u64> {
    None
}

/// What is left of the limit of this process's control group (version 2), if it has one.
fn group_memory() -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let group = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let dir = Path::new("/sys/fs/cgroup").join(group);
    let number = |name: &str| {
        let text = fs::read_to_string(dir.join(name)).ok()?;
        text.trim().parse::<u64>().ok() // "max" is no limit
    };
    let limit = number("memory.max")?;
    Some(limit.saturating_sub(number("memory.current")?))
}

/// The figure behind `name` in a listing of the kernel's, in bytes.
fn kilobytes(listing: &str, name: &str) -> Option<u64> {
    let line = listing.lines().find_map(|line| line.strip_prefix(name))?;
    let figure: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    figure.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_read_in_bytes() {
        let listing = "MemTotal:       24000 kB\nMemAvailable:    7 kB\nBad: 7\n";
        assert_eq!(kilobytes(listing, "MemAvailable:"), Some(7168));
        assert_eq!(kilobytes(listing, "Bad:"), None);
        assert_eq!(kilobytes(listing, "None:"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_machine_says_something() {
        let total = total_memory().expect("Linux says");
        assert!(available_memory().is_some_and(|free| free <= total));
        // In this order: other tests take memory meanwhile, and the peak only grows.
        let held = held_memory();
        assert!(held.is_some() && peak_memory() >= held);
        assert!(processor_seconds().is_some_and(|seconds| seconds > 0.0));
        assert!(free_disk(Path::new(".")).is_some());
        assert_eq!(free_disk(Path::new("/no such directory")), None);
    }
}
