//! What an adapter has for mixed precision.

use super::switches;

/// The largest cooperative matrices that shaders in mixed precision can use: as many rows as columns and inner
/// indices, halves as operands, sums in f32.
pub(super) fn cooperative(adapter: &wgpu::Adapter) -> Option<u32> {
    use wgpu::CooperativeScalarType::{F16, F32};
    let suits = |p: &wgpu::CooperativeMatrixProperties| {
        (p.ab_type, p.cr_type) == (F16, F32)
            && p.m_size == p.n_size
            && p.m_size == p.k_size
            && matches!(p.m_size, 8 | 16)
            && !p.saturating_accumulation
    };
    // Our shaders load matrices from vectors of halves, which Metal's functions do not take.
    let vulkan = adapter.get_info().backend == wgpu::Backend::Vulkan;
    let has = vulkan && adapter.features().contains(MIXED_PRECISION) && !switches::weak();
    let all = if has { adapter.cooperative_matrix_properties() } else { Vec::new() };
    all.into_iter().filter(suits).map(|p| p.m_size).max()
}

/// What shaders in mixed precision need of a device.
pub(super) const MIXED_PRECISION: wgpu::Features = wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX
    .union(wgpu::Features::SHADER_F16)
    .union(wgpu::Features::SUBGROUP);

/// What a device lacks for mixed precision, for people; none where it has all of it.
pub(super) fn lacks(cooperative: Option<u32>, backend: &str, shader_f16: bool) -> Option<&'static str> {
    match (cooperative, backend, shader_f16) {
        (Some(_), ..) => None,
        (None, "gl" | "webgpu" | "dx12", _) => Some("its API has no cooperative matrices for wgpu"),
        (None, "metal", _) => Some("it is written for Vulkan alone so far"),
        (None, _, false) => Some("its driver has no 16-bit floats in shaders"),
        (None, ..) => Some("its driver has no cooperative matrices of halves with sums in f32"),
    }
}

#[cfg(test)]
mod tests {
    use super::lacks;

    #[test]
    fn what_is_missing_is_named() {
        let told = |backend, f16, word| lacks(None, backend, f16).is_some_and(|what| what.contains(word));
        assert!(told("vulkan", true, "cooperative matrices") && told("vulkan", false, "16-bit floats"));
        assert!(told("gl", false, "API") && told("metal", true, "Vulkan alone"));
        assert_eq!(lacks(Some(16), "vulkan", true), None);
    }
}
