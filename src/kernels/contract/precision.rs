//! In what numbers products are computed.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::device::DeviceTraits;
use crate::error::{Error, ErrorKind};

/// In what numbers a plan computes its products. What is in memory does not change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// f32 throughout.
    #[default]
    F32,
    /// Both operands of large products as halves, their sums in f32, where the device has cooperative matrices
    /// (docs/DEVELOPING.md, mixed precision).
    Mixed,
}

impl Precision {
    /// All, in the order of help texts.
    pub const ALL: [Precision; 2] = [Precision::F32, Precision::Mixed];

    /// Its word in files and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Precision::F32 => "f32",
            Precision::Mixed => "mixed",
        }
    }
}

impl std::fmt::Display for Precision {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Precision {
    type Err = Error;

    fn from_str(word: &str) -> Result<Self, Error> {
        Self::ALL.into_iter().find(|known| known.as_str() == word).ok_or_else(|| {
            Error::new(ErrorKind::Input, format!("there is no precision {word:?}")).help("give f32 or mixed")
        })
    }
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
    /// The cooperative matrices that plans for this device use; none in f32.
    pub(in crate::kernels) fn mixed(&self) -> Option<Cooperative> {
        let (side, [_, subgroup]) = (self.cooperative?, self.subgroups?);
        (self.precision == Precision::Mixed).then_some(Cooperative { side, subgroup })
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

    #[test]
    fn words() {
        for precision in Precision::ALL {
            assert_eq!(precision.as_str().parse::<Precision>().ok(), Some(precision));
        }
        assert!("f16".parse::<Precision>().is_err_and(|e| e.message().contains("\"f16\"")));
    }
}
