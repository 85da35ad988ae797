//! Which keys a query sees.

/// Which keys a query sees.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mask {
    /// Those up to its own position.
    #[default]
    Causal,
    /// All of its call.
    Full,
}
