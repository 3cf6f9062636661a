//! `[audit]`, as written.

use std::path::PathBuf;

use serde::Deserialize;

use super::file::{MIB, within};
use super::{Audit, ConfigError, Durability, Source};

/// `[audit]`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditSection {
    /// Default: `audit` in the data directory.
    pub dir: Option<PathBuf>,
    /// `write` (default) or `fsync`.
    pub durability: Option<Durability>,
    /// Default 256.
    pub rotate_mib: Option<u64>,
    /// Default: a tenth of the disk, at most 1,024.
    pub reserve_mib: Option<u64>,
    /// Default 1,024: about 1,000 decisions a second, more pods than any cluster starts.
    pub principal_kib_per_second: Option<u64>,
    /// Default 64: every pod of a cluster of 1,000 nodes at once, and again.
    pub principal_burst_mib: Option<u64>,
}

impl AuditSection {
    /// Fills in every default and checks every range.
    pub(super) fn resolve(self, source: &Source) -> Result<Audit, ConfigError> {
        let dir = match (self.dir, source) {
            (Some(dir), _) => dir,
            (None, Source::Data(data)) => data.join("audit"),
            (None, Source::Files(_)) => return Err(ConfigError::NoAuditDir),
        };
        let rotate_mib =
            within("audit.rotate_mib", self.rotate_mib, 256, 1, 1 << 20, "1 to 1048576")?;
        let reserve = |mib| within("audit.reserve_mib", Some(mib), mib, 0, 1 << 20, "0 to 1048576");
        let reserve_mib = self.reserve_mib.map(reserve).transpose()?;
        let key = "audit.principal_kib_per_second";
        let rate =
            within(key, self.principal_kib_per_second, 1_024, 1, 1 << 30, "1 to 1073741824")?;
        let key = "audit.principal_burst_mib";
        let burst = within(key, self.principal_burst_mib, 64, 1, 1 << 20, "1 to 1048576")?;
        Ok(Audit {
            dir,
            durability: self.durability.unwrap_or_default(),
            rotate_bytes: rotate_mib * MIB,
            reserve_bytes: reserve_mib.map(|mib| mib * MIB),
            principal_bytes_per_second: rate * 1_024,
            principal_burst_bytes: burst * MIB,
        })
    }

    /// These settings if they are given, otherwise those of `below`.
    pub(super) fn over(self, below: Self) -> Self {
        Self {
            dir: self.dir.or(below.dir),
            durability: self.durability.or(below.durability),
            rotate_mib: self.rotate_mib.or(below.rotate_mib),
            reserve_mib: self.reserve_mib.or(below.reserve_mib),
            principal_kib_per_second: self
                .principal_kib_per_second
                .or(below.principal_kib_per_second),
            principal_burst_mib: self.principal_burst_mib.or(below.principal_burst_mib),
        }
    }
}
