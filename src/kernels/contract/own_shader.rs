//! A shader of the caller's own.

/// WGSL that a caller brings for a kernel of their own, and its contract: `Params` is the uniform binding 0
/// of group 0, storage bindings follow from 1 on in the order of the kernel's arguments, the entry point is
/// `main`. It runs with all checks of the driver; what is wrong in it is told as an error when its plan is
/// compiled.
#[derive(Clone, Debug, PartialEq)]
pub struct OwnShader {
    /// For people, and to tell it from others.
    pub name: String,
    /// Complete WGSL.
    pub source: String,
    /// For each storage binding, whether the shader writes it (`read_write`).
    pub written: Vec<bool>,
    /// Names of its `override`s, in the order in which [`super::Variant::own`] gives their values.
    pub overrides: Vec<String>,
}
