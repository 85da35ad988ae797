//! A row of the table of shaders that the build generates.

/// One choice of flags of one shader, as naga reflected it.
#[derive(Debug)]
pub struct Permutation {
    /// `stem+FLAG+FLAG`, flags in the order of the shader's line `// permutations:`.
    pub key: &'static str,
    /// The shader's file.
    pub stem: &'static str,
    /// The flags that are set.
    pub flags: &'static [&'static str],
    /// Its number among those of the shader.
    pub index: usize,
    /// Storage bindings by name, from binding 1 on.
    pub args: &'static [&'static str],
    /// For each of them, whether the shader writes it.
    pub written: &'static [bool],
    /// The `override`s of all permutations of the shader.
    pub overrides: &'static [&'static str],
    /// Which of them this one has.
    pub present: &'static [bool],
    /// Workgroup arrays that are used: bytes of an element, and their length.
    pub workgroup: &'static [(u32, Length)],
    /// Invocations of a workgroup in x, y, z.
    pub size: [Length; 3],
    /// In mixed precision: it needs cooperative matrices, which only some native devices have, and no browser.
    pub cooperative: bool,
}

/// The length of a workgroup array, or of a workgroup.
#[derive(Clone, Copy, Debug)]
pub enum Length {
    /// Known when the shader is written.
    Fixed(u32),
    /// An override, by its number.
    Override(usize),
}
