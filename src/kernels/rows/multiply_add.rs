//! Nothing but multiply-adds: what a benchmark holds the other kernels against.

use crate::error::Result;
use crate::kernels::shader::multiply_add as shader;
use crate::kernels::{DeviceTraits, Dispatch, Kernel, Real, Variant, cpu, shape_error};
use crate::tensor::{Call, Capacity, TensorType};
use crate::{shape, twins};

/// Independent vectors of an invocation.
const CHAINS: usize = 2;
/// Numbers of a vector.
const VECTOR: usize = 4;
/// Invocations of a workgroup.
const GROUP: usize = shader::INVOCATIONS;

/// Arguments: → sums `[64 groups, 4]`, each of two chains `x = x / 2 + a` of `steps` steps.
#[derive(Debug)]
pub struct MultiplyAdd {
    /// Workgroups, at most 65 535.
    pub groups: usize,
    /// Length of a chain, a multiple of 16.
    pub steps: usize,
}

impl Kernel for MultiplyAdd {
    fn stem(&self) -> &'static str {
        "multiply_add"
    }

    fn infer(&self, inputs: &[&TensorType]) -> Result<Vec<TensorType>> {
        let none = inputs.is_empty();
        if none {
            Ok(vec![TensorType::f32(shape![GROUP * self.groups, VECTOR])])
        } else {
            Err(shape_error(self.stem(), inputs, "reads nothing"))
        }
    }

    fn variant(&self, _: &DeviceTraits, _: &Capacity) -> Variant {
        shader::Overrides { steps: self.steps }.variant()
    }

    fn dispatches(&self, _: &Variant, _: &Call) -> Vec<Dispatch> {
        Dispatch::once(&shader::Params { scale: 0.5 }, [self.groups, 1, 1])
    }

    fn flops(&self, _: &Call) -> u64 {
        (2 * GROUP * self.groups * VECTOR * CHAINS * self.steps) as u64
    }

    twins!(shader);
}

impl MultiplyAdd {
    fn twin<R: Real>(&self, args: shader::Args<'_, R>, _: &Call) {
        /// Invocations side by side.
        const ABREAST: usize = 16;
        /// [ABREAST, CHAINS, VECTOR]
        const NUMBERS: usize = ABREAST * CHAINS * VECTOR;
        let scale = R::of(0.5);
        let add: [R; NUMBERS] = std::array::from_fn(|i| R::of((i % VECTOR + 1) as f64));
        cpu::parallel_chunks(args.sums, GROUP * VECTOR, |group, sums| {
            for (part, sums) in sums.chunks_exact_mut(ABREAST * VECTOR).enumerate() {
                let mut x: [R; NUMBERS] = std::array::from_fn(|i| {
                    let id = group * GROUP + part * ABREAST + i / (CHAINS * VECTOR);
                    R::of((id % 7 + i / VECTOR % CHAINS) as f64)
                });
                cpu::multiply_adds(&mut x, scale, &add, self.steps);
                for (i, sum) in sums.iter_mut().enumerate() {
                    let chains = &x[i / VECTOR * CHAINS * VECTOR..][..CHAINS * VECTOR];
                    *sum = chains.iter().skip(i % VECTOR).step_by(VECTOR).copied().sum();
                }
            }
        });
    }
}
