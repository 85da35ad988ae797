//! What a row says of the device's peaks.

use super::schema::{Derived, Row, Suite};

/// The roofline.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Peaks {
    /// 10⁹ multiplications and additions a second.
    pub gflops: Option<f64>,
    /// 10⁹ bytes a second, read and written.
    pub gbps: Option<f64>,
    /// Seconds of an empty dispatch among others, where rows were asked for.
    pub dispatch: Option<f64>,
}

impl Row {
    /// What follows from the median.
    pub(super) fn derive(&mut self, peaks: &Peaks) {
        let Some(seconds) = self.median_ns().map(|ns| ns * 1e-9).filter(|s| *s > 0.0) else { return };
        // The peak is one of f32; nobody measured that of cooperative matrices.
        let peaks = Peaks { gflops: peaks.gflops.filter(|_| self.precision() == "f32"), ..*peaks };
        let batch = self.workload.batch.unwrap_or(1);
        let d = &mut self.derived;
        if matches!(self.suite, Suite::Attention | Suite::Model | Suite::Train) {
            d.tokens_per_second = self.workload.tokens.map(|n| (n * batch) as f64 / seconds);
        }
        d.gflops = d.flops.filter(|flops| *flops > 0).map(|flops| flops as f64 / seconds * 1e-9);
        d.gbps = d.bytes.map(|bytes| bytes as f64 / seconds * 1e-9);
        peaks.share(d);
    }
}

impl Peaks {
    /// Share of what the roofline allows.
    pub(super) fn share(&self, d: &mut Derived) {
        let of_compute = d.gflops.zip(self.gflops).map(|(rate, peak)| rate / peak);
        let of_memory = d.gbps.zip(self.gbps).map(|(rate, peak)| rate / peak);
        (d.peak_gflops, d.peak_gbps) = (d.gflops.and(self.gflops), d.gbps.and(self.gbps));
        let bound = |name: &str| Some(name.to_string());
        (d.share_of_peak, d.bound) = match (of_compute, of_memory) {
            (Some(c), Some(m)) if c >= m => (Some(c), bound("compute")),
            (Some(c), None) => (Some(c), bound("compute")),
            (c, Some(m)) if m > 1.0 => (c, bound("cache")),
            (_, Some(m)) => (Some(m), bound("memory")),
            (None, None) => (None, None),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The peak is one of f32.
    #[test]
    fn mixed_precision_has_no_share_of_multiply_adds() {
        use super::super::schema::{Build, Device, Workload};
        use super::super::statistics::Statistics;
        let peaks = Peaks { gflops: Some(1.0), gbps: Some(1.0), dispatch: None };
        let share = |precision: &str| {
            let (device, build) = (Device::default(), Build::this());
            let mut row = Row::new(Suite::Kernels, "linear", Workload::default(), &device, &build);
            row.method.precision = Some(precision.into());
            row.statistics = Statistics::of(&[1.0]);
            (row.derived.flops, row.derived.bytes) = (Some(2), Some(1));
            row.derive(&peaks);
            (row.derived.share_of_peak.map(|share| share.round()), row.derived.bound)
        };
        assert_eq!(share("f32"), (Some(2.0), Some("compute".into())));
        assert_eq!(share("mixed"), (Some(1.0), Some("memory".into())));
    }

    #[test]
    fn the_lower_roof_is_the_bound() {
        let peaks = Peaks { gflops: Some(100.0), gbps: Some(10.0), dispatch: None };
        let mut d = Derived { gflops: Some(50.0), gbps: Some(1.0), ..Derived::default() };
        peaks.share(&mut d);
        assert_eq!((d.share_of_peak, d.bound.as_deref()), (Some(0.5), Some("compute")));
        let mut d = Derived { gflops: Some(1.0), gbps: Some(9.0), ..Derived::default() };
        peaks.share(&mut d);
        assert_eq!((d.share_of_peak, d.bound.as_deref()), (Some(0.9), Some("memory")));
        // Faster than memory: only the arithmetic says something.
        let mut d = Derived { gflops: Some(1.0), gbps: Some(50.0), ..Derived::default() };
        peaks.share(&mut d);
        assert_eq!((d.share_of_peak, d.bound.as_deref()), (Some(0.01), Some("cache")));
    }
}
