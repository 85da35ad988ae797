//! What a shader of a caller's own takes of a workgroup once its overrides are known; of ours, lowering
//! knows.
//!
//! Browsers refuse a pipeline that takes more than the device was created for. wgpu's native backends look at
//! the defaults of the overrides only, and not at workgroup memory at all. This closes the gap.

use wgpu::naga;

use super::adapter::AdapterLimits;
use crate::error::{Error, ErrorKind, Result};

/// A shader, parsed.
pub(super) struct Parsed {
    module: naga::Module,
    info: naga::valid::ModuleInfo,
}

impl Parsed {
    /// `None` if it does not parse, which the driver will say better.
    pub fn new(source: &str) -> Option<Self> {
        let module = naga::front::wgsl::parse_str(source).ok()?;
        let info = naga::valid::Validator::new(
            naga::valid::ValidationFlags::all(),
            naga::valid::Capabilities::all(),
        )
        .validate(&module)
        .ok()?;
        Some(Self { module, info })
    }

    /// Workgroup size and bytes of workgroup memory of `entry` with these override values.
    fn footprint(&self, entry: &str, constants: &[(&str, f64)]) -> Option<([u32; 3], u64)> {
        let constants = constants.iter().map(|(name, value)| (name.to_string(), *value)).collect();
        let stage = Some((naga::ShaderStage::Compute, entry));
        let (module, info) =
            naga::back::pipeline_constants::process_overrides(&self.module, &self.info, stage, &constants)
                .ok()?;
        let (at, point) = module.entry_points.iter().enumerate().find(|(_, point)| point.name == entry)?;
        let used = info.get_entry_point(at);
        let bytes = |ty: naga::Handle<naga::Type>| {
            u64::from(module.types[ty].inner.size(module.to_ctx())).next_multiple_of(16)
        };
        let memory = module
            .global_variables
            .iter()
            .filter(|(handle, variable)| {
                variable.space == naga::AddressSpace::WorkGroup && !used[*handle].is_empty()
            })
            .map(|(_, variable)| bytes(variable.ty))
            .sum();
        Some((point.workgroup_size, memory))
    }

    /// Refuses what is more than `limits` allow.
    pub fn check(
        &self,
        what: &str,
        entry: &str,
        constants: &[(&str, f64)],
        limits: &AdapterLimits,
    ) -> Result<()> {
        let Some((size, memory)) = self.footprint(entry, constants) else { return Ok(()) };
        let invocations = size.iter().map(|n| u64::from(*n)).product::<u64>();
        let most = limits.max_compute_invocations_per_workgroup;
        let too_many = |message: String| {
            let help = "a smaller workgroup, or fewer numbers in it, would fit";
            Err(Error::new(ErrorKind::Limit, format!("{what}: {message}")).help(help))
        };
        if invocations > u64::from(most)
            || size.iter().zip(limits.max_compute_workgroup_size).any(|(n, most)| *n > most)
        {
            return too_many(format!(
                "a workgroup of {size:?}, this device allows {:?} and {most} in all",
                limits.max_compute_workgroup_size
            ));
        }
        let most = limits.max_compute_workgroup_storage_size;
        if memory > u64::from(most) {
            return too_many(format!("{memory} bytes of workgroup memory, this device has {most}"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overrides_are_counted() {
        let source = "
            override T: u32 = 4u;
            override W: u32 = T * T;
            var<workgroup> a: array<vec4<f32>, T * T>;
            var<workgroup> b: u32;
            var<workgroup> unused: array<f32, 1000>;
            @compute @workgroup_size(W, 2) fn main() { a[0].x = f32(b); }
            @compute @workgroup_size(5) fn other() { unused[0] = 1.0; }";
        let parsed = Parsed::new(source).unwrap();
        assert_eq!(parsed.footprint("main", &[]), Some(([16, 2, 1], 256 + 16)));
        assert_eq!(parsed.footprint("main", &[("T", 8.0)]), Some(([64, 2, 1], 1024 + 16)));
        assert_eq!(parsed.footprint("other", &[]), Some(([5, 1, 1], 4000)));
        assert!(Parsed::new("fn main( {").is_none());
    }
}
