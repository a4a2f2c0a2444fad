//! The way over several changes of the set.

use alloc::vec::Vec;

use super::ClientError;
use crate::primitives::Height;

/// Finds the headers between that a client needs when a target is signed by a set it does not
/// know: halves the distance until a step holds. It ends, because the header at the next height is
/// signed by the trusted set on every honest chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bisection {
    /// Heights still to be reached, the nearest last. At most one for each bit of a height.
    targets: Vec<Height>,
}

impl Bisection {
    /// Towards one height.
    pub fn new(target: Height) -> Self {
        Self {
            targets: alloc::vec![target],
        }
    }

    /// The height whose update is needed next; `None` when the target is reached.
    pub fn wanted(&self) -> Option<Height> {
        self.targets.last().copied()
    }

    /// Tells what became of the update for the wanted height, with the client's height after it.
    /// `false` ends the search: the update is refused for good, or it was of a lower height than
    /// the wanted one, so that whoever gave it could go on for ever.
    pub fn record(&mut self, trusted: Height, result: Result<(), &ClientError>) -> bool {
        let Some(wanted) = self.wanted() else {
            return false;
        };
        match result {
            Ok(()) => {
                while self.targets.last().is_some_and(|t| *t <= trusted) {
                    self.targets.pop();
                }
                wanted <= trusted
            }
            Err(ClientError::UnknownSet { .. } | ClientError::SkipNotAllowed) => {
                let distance = wanted.get().saturating_sub(trusted.get());
                if distance < 2 {
                    return false;
                }
                self.targets.push(Height::new(trusted.get() + distance / 2));
                true
            }
            Err(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Follows a chain whose set changes at `changes`, by steps; the heights asked for.
    fn walk(start: u64, target: u64, changes: &[u64]) -> Option<Vec<u64>> {
        // A step from `from` to `to` holds if no set that `from` does not name signs `to`.
        let holds = |from: u64, to: u64| !changes.iter().any(|c| from + 1 < *c && *c <= to);
        let mut search = Bisection::new(Height::new(target));
        let (mut trusted, mut asked) = (start, Vec::new());
        while let Some(wanted) = search.wanted() {
            asked.push(wanted.get());
            let error = ClientError::SkipNotAllowed;
            let result = if holds(trusted, wanted.get()) {
                trusted = wanted.get();
                Ok(())
            } else {
                Err(&error)
            };
            if !search.record(Height::new(trusted), result) {
                return None;
            }
        }
        Some(asked)
    }

    #[test]
    fn it_arrives_wherever_the_set_changes() {
        assert_eq!(walk(0, 100, &[]), Some(Vec::from([100])));
        assert_eq!(walk(0, 8, &[5]), Some(Vec::from([8, 4, 8])));
        for mask in 0_u64..1 << 12 {
            let changes: Vec<u64> = (1..=12).filter(|i| mask >> (i - 1) & 1 == 1).collect();
            let asked = walk(0, 12, &changes).expect("every honest chain can be followed");
            assert_eq!(asked.last(), Some(&12));
            assert!(asked.len() <= 1 + 8 * (changes.len() + 1), "{asked:?}");
        }
        let far = walk(0, u64::MAX, &[1 << 40]).expect("heights do not wrap");
        assert!(far.len() < 140);
    }

    #[test]
    fn it_gives_up_where_nothing_is_left_between() {
        let refused = ClientError::SkipNotAllowed;
        let mut search = Bisection::new(Height::new(8));
        assert!(!search.record(Height::new(7), Err(&refused)), "adjacent");
        assert!(!search.record(Height::new(9), Err(&refused)), "passed");
        assert!(!search.record(Height::new(0), Err(&ClientError::TimeNotAbove)));
        assert!(!search.record(Height::new(3), Ok(())), "not what was asked");
        assert!(search.record(Height::new(9), Ok(())), "beyond is there too");
        assert_eq!(search.wanted(), None);
        assert!(!search.record(Height::new(9), Ok(())), "nothing was wanted");
    }
}
