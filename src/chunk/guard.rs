//! Protection of a window against corrupt chunk ids (`max_jump`).

/// Consecutive out-of-range heaps, close to each other, that are believed. A corrupt id is single
/// or scattered; a sender that restarted sends all its heaps close together.
const VOTES_TO_RESYNC: u32 = 4;

/// Heaps that must agree before the first id is believed.
const VOTES_TO_START: u32 = 2;

/// Judges chunk ids before they may move the window.
#[derive(Debug)]
pub(crate) struct JumpGuard {
    max_jump: u64,
    /// Whether an id was believed yet.
    started: bool,
    /// The last out-of-range id, and how many in a row were close to each other.
    candidate: u64,
    votes: u32,
}

/// What to do with a heap's chunk id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Go on.
    Believe,
    /// Discard the heap.
    Doubt,
    /// The sequence is somewhere else now: go there.
    Resync,
}

impl JumpGuard {
    /// Believes ids at most `max_jump` chunks outside the window.
    pub(crate) fn new(max_jump: u64) -> Self {
        Self { max_jump, started: false, candidate: 0, votes: 0 }
    }

    /// Judges `id` against the window `head..tail`.
    pub(crate) fn judge(&mut self, id: u64, head: u64, tail: u64) -> Verdict {
        let near = head.saturating_sub(self.max_jump)..tail.saturating_add(self.max_jump);
        if self.started && near.contains(&id) {
            self.votes = 0;
            return Verdict::Believe;
        }
        let agrees = self.votes > 0 && id.abs_diff(self.candidate) <= self.max_jump;
        self.votes = if agrees { self.votes + 1 } else { 1 };
        self.candidate = id;
        let needed = if self.started { VOTES_TO_RESYNC } else { VOTES_TO_START };
        if self.votes < needed {
            return Verdict::Doubt;
        }
        self.votes = 0;
        if self.started {
            return Verdict::Resync;
        }
        self.started = true;
        Verdict::Believe
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_id_needs_a_second() {
        let mut guard = JumpGuard::new(10);
        assert_eq!(guard.judge(1 << 40, 0, 0), Verdict::Doubt);
        assert_eq!(guard.judge(100, 0, 0), Verdict::Doubt);
        assert_eq!(guard.judge(101, 0, 0), Verdict::Believe);
        assert_eq!(guard.judge(103, 98, 102), Verdict::Believe);
    }

    #[test]
    fn single_strays_never_move_the_window() {
        let mut guard = JumpGuard::new(10);
        guard.judge(100, 0, 0);
        guard.judge(100, 0, 0);
        let scattered = (1..100).map(|stray| stray << 30);
        // As from a bit that flips now and then.
        let always_the_same = std::iter::repeat_n(1 << 30, 100);
        for stray in scattered.chain(always_the_same) {
            assert_eq!(guard.judge(stray, 98, 101), Verdict::Doubt);
            assert_eq!(guard.judge(100, 98, 101), Verdict::Believe);
        }
    }

    #[test]
    fn a_restarted_sender_is_followed() {
        for restart in [5_000_000, 3] {
            let mut guard = JumpGuard::new(10);
            guard.judge(100, 0, 0);
            guard.judge(100, 0, 0);
            for k in 0..3 {
                assert_eq!(guard.judge(restart + k, 98, 101), Verdict::Doubt);
            }
            assert_eq!(guard.judge(restart + 3, 98, 101), Verdict::Resync);
        }
    }
}
