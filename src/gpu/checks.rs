//! Where our own shaders go without checks of bounds and divisors.

use super::adapter::AdapterKind;
use super::switches;
use crate::error::Result;

/// What a shader of ours carries against indices outside their arrays and divisors of zero. A caller's own has
/// all checks everywhere, and in a browser, so has ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Checks {
    /// Both are checked.
    Kept,
    /// Neither is.
    Off,
}

impl Checks {
    /// As an adapter of that kind has them, or as `POLYSKETCH_CHECKS` says.
    ///
    /// # Errors
    /// Those of [`switches::checks`].
    pub fn on(kind: AdapterKind) -> Result<Self> {
        Ok(Self::of(kind, switches::checks()?))
    }

    /// On real GPUs they cost registers and instructions in the innermost loops. Software adapters, where the
    /// tests run, keep them; so does what does not tell what it is, or is a slice of a GPU that others share.
    /// What was `asked` for comes first.
    fn of(kind: AdapterKind, asked: Option<bool>) -> Self {
        let real = matches!(kind, AdapterKind::Discrete | AdapterKind::Integrated);
        if asked.unwrap_or(!real) { Self::Kept } else { Self::Off }
    }
}

/// Whether our shaders run without checks on an adapter of that kind.
pub(crate) fn unchecked(kind: AdapterKind) -> bool {
    Checks::on(kind).is_ok_and(|checks| checks == Checks::Off) && cfg!(not(target_arch = "wasm32"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_shaders_are_checked_but_on_real_gpus() {
        use AdapterKind::{Discrete, Integrated, Other, Software, Virtual};
        for kind in [Discrete, Integrated, Virtual, Other, Software] {
            let real = matches!(kind, Discrete | Integrated);
            assert_eq!(Checks::of(kind, None), if real { Checks::Off } else { Checks::Kept });
            assert_eq!(Checks::of(kind, Some(true)), Checks::Kept);
            assert_eq!(Checks::of(kind, Some(false)), Checks::Off);
        }
    }
}
