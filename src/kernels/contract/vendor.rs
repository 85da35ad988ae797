//! Who made a device.

use serde::{Deserialize, Serialize};

/// Who made a device: what a kernel may cut its work by, beside sizes. A cut that suits one vendor's
/// registers spills on another's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Vendor {
    /// NVIDIA: subgroups of 32, up to 255 registers an invocation.
    Nvidia,
    /// AMD: subgroups of 32 or 64, up to 256 registers.
    Amd,
    /// Intel: subgroups of 8 to 32.
    Intel,
    /// Apple: subgroups of 32, up to 128 registers an invocation of 32 bits.
    Apple,
    /// Qualcomm (Adreno): subgroups of 64 or 128, up to 48 vectors of four registers.
    Qualcomm,
    /// ARM (Mali).
    Arm,
    /// A CPU that pretends to be a GPU, whoever made it.
    Software,
    /// Any other, or nobody knows: what suits every device holds.
    #[default]
    #[serde(other)]
    Other,
}

impl Vendor {
    /// All that have a word of their own, in the order of tables.
    pub const ALL: [Vendor; 8] = [
        Vendor::Nvidia,
        Vendor::Amd,
        Vendor::Intel,
        Vendor::Apple,
        Vendor::Qualcomm,
        Vendor::Arm,
        Vendor::Software,
        Vendor::Other,
    ];

    /// Its word in files and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Vendor::Nvidia => "nvidia",
            Vendor::Amd => "amd",
            Vendor::Intel => "intel",
            Vendor::Apple => "apple",
            Vendor::Qualcomm => "qualcomm",
            Vendor::Arm => "arm",
            Vendor::Software => "software",
            Vendor::Other => "other",
        }
    }
}

impl std::fmt::Display for Vendor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}
