//! What a check says.

use serde::Serialize;

/// How much a finding matters, the least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Severity {
    /// As it should be.
    Ok,
    /// Worth knowing; there is nothing to change, or only somebody else can.
    Note,
    /// It could not be looked at.
    Unseen,
    /// A change is likely to help.
    Advice,
    /// Packets are being lost, or will be.
    Problem,
}

impl Severity {
    /// Whether something should change.
    pub(super) fn asks_for_change(self) -> bool {
        self >= Self::Advice
    }

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Note => "note",
            Self::Unseen => "could not look",
            Self::Advice => "advice",
            Self::Problem => "problem",
        }
    }
}

/// One thing that a check found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    pub(super) severity: Severity,
    /// What is the case.
    pub(super) found: String,
    /// Why it matters; empty if it is as it should be.
    pub(super) why: String,
    /// What changes it, until the next boot.
    pub(super) commands: Vec<String>,
}

/// Why something could not be looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unseen(pub(super) String);

/// What a check comes to.
pub(super) type Found = Result<Vec<Finding>, Unseen>;

impl Finding {
    fn new(severity: Severity, found: impl Into<String>, why: impl Into<String>) -> Self {
        Self { severity, found: found.into(), why: why.into(), commands: Vec::new() }
    }

    pub(super) fn ok(found: impl Into<String>) -> Self {
        Self::new(Severity::Ok, found, "")
    }

    pub(super) fn note(found: impl Into<String>, why: impl Into<String>) -> Self {
        Self::new(Severity::Note, found, why)
    }

    pub(super) fn advice(found: impl Into<String>, why: impl Into<String>) -> Self {
        Self::new(Severity::Advice, found, why)
    }

    pub(super) fn problem(found: impl Into<String>, why: impl Into<String>) -> Self {
        Self::new(Severity::Problem, found, why)
    }

    pub(super) fn unseen(Unseen(why): Unseen) -> Self {
        Self::new(Severity::Unseen, why, "")
    }

    /// Adds a command that changes it.
    pub(super) fn run(mut self, command: impl Into<String>) -> Self {
        self.commands.push(command.into());
        self
    }
}
