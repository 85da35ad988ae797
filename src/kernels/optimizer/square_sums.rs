//! Sums of squares of a gradient: its part of the global norm.

use crate::error::Result;
use crate::kernels::shader::square_sums as shader;
use crate::kernels::{DeviceTraits, Dispatch, Kernel, Real, Variant, cpu, shape_error};
use crate::tensor::{Call, Capacity, TensorType};
use crate::{shape, twins};

/// Partial sums of one tensor.
pub const SQUARE_PARTS: usize = shader::PARTS;

/// The type of the sums of so many parameters.
pub fn norms(parameters: usize) -> TensorType {
    TensorType::f32(shape![parameters, SQUARE_PARTS])
}

/// Arguments: gradient `[elements]` → norms ([`norms`]) in place: row `index` becomes the sums of squares
/// over contiguous parts of the gradient.
#[derive(Debug)]
pub struct SquareSums {
    /// Elements of the gradient, whatever its shape.
    pub elements: usize,
    /// Row of the norms.
    pub index: usize,
}

impl SquareSums {
    fn part(&self) -> usize {
        self.elements.div_ceil(SQUARE_PARTS)
    }
}

impl Kernel for SquareSums {
    fn stem(&self) -> &'static str {
        "square_sums"
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        if inputs.len() != 1 || fixed_elements(inputs[0]) != Some(self.elements) {
            return Err(shape_error(self.stem(), inputs, format_args!("needs {} elements", self.elements)));
        }
        Ok(vec![])
    }

    fn variant(&self, _: &DeviceTraits, _: &Capacity) -> Variant {
        shader::Overrides { elements: self.elements, part: self.part() }.variant()
    }

    fn dispatches(&self, _: &Variant, _: &Call) -> Vec<Dispatch> {
        Dispatch::once(&shader::Params { index: self.index as u32 }, [SQUARE_PARTS, 1, 1])
    }

    twins!(shader);
}

/// Elements of a tensor whose size no call changes.
pub(in crate::kernels) fn fixed_elements(ty: &TensorType) -> Option<usize> {
    let fixed = |e: &crate::tensor::Extent| (e.unit == crate::tensor::Unit::One).then_some(e.factor);
    ty.shape.0.iter().map(fixed).product()
}

impl SquareSums {
    fn twin<R: Real>(&self, args: shader::Args<'_, R>, _: &Call) {
        let shader::Args { gradient, norms, .. } = args;
        let gradient = &gradient[..self.elements];
        cpu::parallel_chunks(&mut norms[self.index * SQUARE_PARTS..][..SQUARE_PARTS], 1, |part, sum| {
            let at = |part: usize| (part * self.part()).min(self.elements);
            let values = &gradient[at(part)..at(part + 1)];
            sum[0] = cpu::dot(values, values);
        });
    }
}
