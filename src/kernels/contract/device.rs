//! What a kernel may know of the device it is lowered for.

use std::sync::Arc;

use super::precision::Precision;
use super::tuning::Tuning;
use super::vendor::Vendor;

/// What a kernel may know of a device when it chooses its variant. Plain data: no wgpu here.
#[derive(Clone, Debug, PartialEq)]
pub struct DeviceTraits {
    /// Steps are dispatches of shaders; false on the CPU executor, which runs the twins and needs no shader
    /// to exist.
    pub shaders: bool,
    /// A CPU that pretends to be a GPU: workgroup memory is plain memory there.
    pub software: bool,
    /// Who made it; [`Vendor::Other`] where nobody knows, and in a weak device.
    pub vendor: Vendor,
    /// Subgroup sizes, smallest and largest; none without subgroups.
    pub subgroups: Option<[usize; 2]>,
    /// Rows, columns and inner indices of its largest cooperative matrices of halves with sums in f32, 8 or 16; none
    /// without.
    pub cooperative: Option<usize>,
    /// In what numbers plans for it compute products.
    pub precision: Precision,
    /// What runs workgroups of its own (multiprocessors, compute units, cores), where the chip is known.
    pub processors: Option<usize>,
    /// Registers of 32 bits in one processor, where the chip is known.
    pub registers: Option<usize>,
    /// Largest storage binding, bytes.
    pub max_binding: usize,
    /// Largest buffer, bytes.
    pub max_buffer: usize,
    /// Iterations of all its loops together after which an invocation is let out of every loop, silently
    /// (llvmpipe: 65 535).
    pub loop_iterations: Option<usize>,
    /// Workgroup memory, bytes.
    pub workgroup_memory: usize,
    /// Invocations in a workgroup.
    pub max_invocations: usize,
    /// What was measured on it.
    pub tuning: Arc<Tuning>,
}

/// What a kernel knows of cooperative matrices where it is to use them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::kernels) struct Cooperative {
    /// Rows, columns and inner indices of one.
    pub side: usize,
    /// Invocations of the largest subgroup.
    pub subgroup: usize,
}

impl DeviceTraits {
    /// Rounds of a loop that one dispatch may take, where an invocation's loops take so many iterations
    /// before the first and in each. Count them generously: a driver's loops take one more than the shader's,
    /// and one too many leaves results unwritten.
    pub(in crate::kernels) fn rounds(&self, before: usize, each: usize) -> usize {
        /// Where nothing bounds them: all.
        const ALL: usize = 1 << 20;
        self.loop_iterations.map_or(ALL, |most| (most.saturating_sub(before) / each.max(1)).clamp(1, ALL))
    }

    /// The cooperative matrices that plans for this device use; none in f32.
    pub(in crate::kernels) fn mixed(&self) -> Option<Cooperative> {
        let (side, [_, subgroup]) = (self.cooperative?, self.subgroups?);
        (self.precision == Precision::Mixed).then_some(Cooperative { side, subgroup })
    }

    /// The floor of SPEC §6: WebGPU's default limits.
    pub fn floor() -> Self {
        Self {
            shaders: true,
            software: false,
            vendor: Vendor::Other,
            subgroups: None,
            cooperative: None,
            precision: Precision::F32,
            processors: None,
            registers: None,
            loop_iterations: None,
            max_binding: 128 << 20,
            max_buffer: 256 << 20,
            workgroup_memory: 16 << 10,
            max_invocations: 256,
            tuning: Arc::default(),
        }
    }

    /// The CPU executor: bounded by memory only.
    pub fn cpu() -> Self {
        Self {
            shaders: false,
            software: false,
            vendor: Vendor::Other,
            subgroups: None,
            cooperative: None,
            precision: Precision::F32,
            processors: None,
            registers: None,
            loop_iterations: None,
            max_binding: usize::MAX,
            max_buffer: usize::MAX,
            workgroup_memory: usize::MAX,
            max_invocations: usize::MAX,
            tuning: Arc::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cooperative_matrices_are_used_where_they_are_asked_for_and_there() {
        let device =
            DeviceTraits { subgroups: Some([32, 64]), cooperative: Some(16), ..DeviceTraits::floor() };
        assert_eq!(device.mixed(), None);
        let mixed = DeviceTraits { precision: Precision::Mixed, ..device };
        assert_eq!(mixed.mixed(), Some(Cooperative { side: 16, subgroup: 64 }));
        let without = DeviceTraits { cooperative: None, ..mixed };
        assert_eq!(without.mixed(), None);
    }
}
