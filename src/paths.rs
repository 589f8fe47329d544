//! Which of two ways things go that lead to the same place: a short one for what is usual, and a long one
//! that is right for everything.
//!
//! Tests are run a second time with the long ways only, and a third with every short one (`make
//! test-paths`): builds with debug assertions ask the environment variable `SPEADWAY_PATHS` for that.
//! Without it, and in other builds, each takes the way that it would.

/// What decides about the way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Paths {
    /// What is usual takes the short way, and what has to be asked for is asked for.
    #[default]
    Usual,
    /// What has to be asked for is taken for granted too.
    Short,
    /// Nothing takes a short way.
    Long,
}

/// Whether everything takes the long way.
#[inline(always)]
pub(crate) fn only_long() -> bool {
    forced() == Paths::Long
}

/// Whether short ways are taken that nobody asked for.
#[inline(always)]
pub(crate) fn every_short() -> bool {
    forced() == Paths::Short
}

#[cfg(not(debug_assertions))]
#[inline(always)]
const fn forced() -> Paths {
    Paths::Usual
}

#[cfg(debug_assertions)]
fn forced() -> Paths {
    use std::sync::OnceLock;
    static FORCED: OnceLock<Paths> = OnceLock::new();
    *FORCED.get_or_init(|| named(std::env::var(VARIABLE).ok().as_deref()).unwrap_or_default())
}

#[cfg(debug_assertions)]
const VARIABLE: &str = "SPEADWAY_PATHS";

/// What a value of the variable means; `None` if nothing.
#[cfg(debug_assertions)]
fn named(value: Option<&str>) -> Option<Paths> {
    match value {
        None => Some(Paths::Usual),
        Some("short") => Some(Paths::Short),
        Some("long") => Some(Paths::Long),
        Some(_) => None,
    }
}

#[cfg(all(test, debug_assertions))]
mod tests {
    use super::*;

    /// Or the tests would be run with what they are always run with.
    #[test]
    fn the_variable_is_understood() {
        let value = std::env::var(VARIABLE).ok();
        let meant = named(value.as_deref());
        assert_eq!(meant, Some(forced()), "{VARIABLE} is {value:?}, not short or long");
        assert_eq!(
            (only_long(), every_short()),
            (meant == Some(Paths::Long), meant == Some(Paths::Short))
        );
        assert_eq!(named(Some("shrot")), None);
    }
}
