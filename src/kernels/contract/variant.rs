//! Which shader runs, with which constants and workgroups.

use std::sync::Arc;

use super::own_shader::OwnShader;
use super::permutation::{Length, Permutation};
use crate::error::Result;

/// Where the WGSL of a kernel comes from.
#[derive(Clone, Debug)]
pub enum Shader {
    /// One of ours.
    BuiltIn(&'static Permutation),
    /// The caller's own.
    Own(Arc<OwnShader>),
    /// None: the kernel of that stem runs on the CPU only.
    None(&'static str),
}

impl PartialEq for Shader {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Shader::BuiltIn(a), Shader::BuiltIn(b)) => a.key == b.key,
            (Shader::Own(a), Shader::Own(b)) => a == b,
            (Shader::None(a), Shader::None(b)) => a == b,
            _ => false,
        }
    }
}

/// A shader with its `override` values.
#[derive(Clone, Debug)]
pub struct Variant {
    shader: Shader,
    /// By the shader's own list; NaN for those that the permutation does not have.
    values: Vec<f64>,
}

impl PartialEq for Variant {
    fn eq(&self, other: &Self) -> bool {
        // By bits, so that NaN equals NaN.
        let bits = |x: &f64| x.to_bits();
        self.shader == other.shader && self.values.iter().map(bits).eq(other.values.iter().map(bits))
    }
}

impl Variant {
    /// A permutation of ours; generated code calls this.
    pub(crate) fn of(permutation: &'static Permutation, values: Vec<f64>) -> Self {
        let variant = Self { shader: Shader::BuiltIn(permutation), values };
        let missing = variant.constants().find(|(_, value)| value.is_nan());
        assert!(missing.is_none(), "{} gets no override {missing:?}", permutation.key);
        variant
    }

    /// A shader of the caller's own, with its `override` values in the order of its list.
    pub fn own(shader: Arc<OwnShader>, values: &[f64]) -> Self {
        Self { shader: Shader::Own(shader), values: values.to_vec() }
    }

    /// No shader: the kernel `stem` runs on the CPU only.
    pub fn cpu_only(stem: &'static str) -> Self {
        Self { shader: Shader::None(stem), values: Vec::new() }
    }

    /// The shader.
    pub fn shader(&self) -> &Shader {
        &self.shader
    }

    /// `stem` or `stem+FLAG+FLAG`, for people.
    pub fn name(&self) -> &str {
        match &self.shader {
            Shader::BuiltIn(permutation) => permutation.key,
            Shader::Own(own) => &own.name,
            Shader::None(stem) => stem,
        }
    }

    /// The shader's file, without flags.
    pub fn stem(&self) -> &str {
        match &self.shader {
            Shader::BuiltIn(permutation) => permutation.stem,
            _ => self.name(),
        }
    }

    /// The permutation, where the shader is one of ours.
    pub(crate) fn permutation(&self) -> Option<&'static Permutation> {
        match &self.shader {
            Shader::BuiltIn(permutation) => Some(permutation),
            _ => None,
        }
    }

    /// Whether its shader computes in mixed precision.
    pub(crate) fn is_mixed(&self) -> bool {
        self.permutation().is_some_and(|permutation| permutation.cooperative)
    }

    /// Every value of the shader's list.
    pub(crate) fn values(&self) -> &[f64] {
        &self.values
    }

    /// The `override` values by name, of those that the shader has.
    pub fn constants(&self) -> impl Iterator<Item = (&str, f64)> {
        let (names, present): (Vec<&str>, Option<&'static [bool]>) = match &self.shader {
            Shader::BuiltIn(p) => (p.overrides.to_vec(), Some(p.present)),
            Shader::Own(own) => (own.overrides.iter().map(String::as_str).collect(), None),
            Shader::None(_) => (Vec::new(), None),
        };
        let all = names.into_iter().zip(self.values.iter().copied()).enumerate();
        all.filter(move |(at, _)| present.is_none_or(|present| present[*at])).map(|(_, pair)| pair)
    }

    /// For each storage binding, whether the shader writes it; `None` without a shader.
    pub fn written(&self) -> Option<&[bool]> {
        match &self.shader {
            Shader::BuiltIn(permutation) => Some(permutation.written),
            Shader::Own(own) => Some(&own.written),
            Shader::None(_) => None,
        }
    }

    /// Complete WGSL; `None` without a shader.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Device`] for a shader of ours that cannot be put together: a bug.
    pub fn source(&self) -> Result<Option<String>> {
        match &self.shader {
            Shader::BuiltIn(permutation) => permutation.source().map(Some),
            Shader::Own(own) => Ok(Some(own.source.clone())),
            Shader::None(_) => Ok(None),
        }
    }

    /// Bytes of workgroup memory, as WebGPU counts them; 0 for a shader of the caller's own, which is looked
    /// into when it is compiled.
    pub fn workgroup_bytes(&self) -> usize {
        let arrays = self.permutation().map_or(&[][..], |permutation| permutation.workgroup);
        let bytes = |stride: u32, n: &Length| (stride as usize * self.length(n)).next_multiple_of(16);
        arrays.iter().map(|(stride, n)| bytes(*stride, n)).sum()
    }

    /// Invocations of a workgroup; 0 for a shader of the caller's own, as above.
    pub fn invocations(&self) -> usize {
        let size = self.permutation().map(|permutation| permutation.size.iter());
        size.map_or(0, |size| size.map(|n| self.length(n)).product())
    }

    fn length(&self, length: &Length) -> usize {
        match length {
            Length::Fixed(n) => *n as usize,
            Length::Override(at) => self.values[*at] as usize,
        }
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

    /// All of a call in one dispatch.
    pub fn once<P: bytemuck::Pod>(params: &P, workgroups: [usize; 3]) -> Vec<Self> {
        vec![Self::new(params, workgroups)]
    }

    /// At least `n` workgroups, folded into two dimensions of at most 65 535 each (SPEC §6); the
    /// shader finds its number as `id.y * num_workgroups.x + id.x` and must check it.
    pub fn linear(n: usize) -> [usize; 3] {
        const MOST: usize = 65_535;
        if n <= MOST { [n, 1, 1] } else { [MOST, n.div_ceil(MOST), 1] }
    }
}
