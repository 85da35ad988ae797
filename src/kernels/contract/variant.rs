//! Which shader runs, with which constants and workgroups.

/// A shader permutation with its `override` constants.
#[derive(Clone, Debug, PartialEq)]
pub struct Variant {
    /// Key of the permutation table: `stem` or `stem+FLAG+FLAG`.
    pub shader: String,
    /// `override` values by name.
    pub constants: Vec<(&'static str, f64)>,
}

impl Variant {
    /// `stem` with the flags whose condition holds.
    pub fn new(stem: &str, flags: &[(&str, bool)]) -> Self {
        let mut shader = stem.to_string();
        for (flag, on) in flags {
            if *on {
                shader.push('+');
                shader.push_str(flag);
            }
        }
        Self { shader, constants: Vec::new() }
    }

    /// Adds an `override` value.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<f64>) -> Self {
        self.constants.push((name, value.into()));
        self
    }

    /// Adds an `override` value that counts something.
    #[must_use]
    pub fn size(self, name: &'static str, value: usize) -> Self {
        self.with(name, value as f64)
    }

    /// An `override` value that [`Variant::with`] or [`Variant::size`] set.
    pub fn get(&self, name: &str) -> usize {
        self.constants
            .iter()
            .find(|(n, _)| *n == name)
            .map(|(_, v)| *v as usize)
            .unwrap_or_else(|| panic!("no override {name} in {}", self.shader))
    }
}

/// One dispatch: the bytes of the uniform `Params` and the workgroup counts.
#[derive(Clone, Debug, PartialEq)]
pub struct Dispatch {
    /// `Params`, as the shader lays it out.
    pub params: Vec<u8>,
    /// Workgroups in x, y, z.
    pub workgroups: [usize; 3],
}

impl Dispatch {
    /// A dispatch from a parameter struct.
    pub fn new<P: bytemuck::Pod>(params: &P, workgroups: [usize; 3]) -> Self {
        Self { params: bytemuck::bytes_of(params).to_vec(), workgroups }
    }

    /// At least `n` workgroups, folded into two dimensions of at most 65 535 each (SPEC §6); the
    /// shader finds its number as `id.y * num_workgroups.x + id.x` and must check it.
    pub fn linear(n: usize) -> [usize; 3] {
        const MOST: usize = 65_535;
        if n <= MOST { [n, 1, 1] } else { [MOST, n.div_ceil(MOST), 1] }
    }
}
