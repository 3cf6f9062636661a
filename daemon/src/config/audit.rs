//! `[audit]`, as written.

use std::path::PathBuf;

use serde::Deserialize;

use super::number::{MIB, mib, within};
use super::{ConfigError, Source};
use crate::audit::allowance::AllowanceLimits;
use crate::audit::{AuditConfig, Durability};

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
    pub(super) fn resolve(self, source: &Source) -> Result<AuditConfig, ConfigError> {
        let dir = match (self.dir, source) {
            (Some(dir), _) => dir,
            (None, Source::Data(data)) => data.join("audit"),
            (None, Source::Files(_)) => return Err(ConfigError::NoAuditDir),
        };
        let reserve = |mib| within("audit.reserve_mib", Some(mib), 0..=1 << 20, mib);
        let reserve_mib = self.reserve_mib.map(reserve).transpose()?;
        let rate = within(
            "audit.principal_kib_per_second",
            self.principal_kib_per_second,
            1..=1 << 30,
            1_024,
        )?;
        let burst_bytes = mib("audit.principal_burst_mib", self.principal_burst_mib, 64)?;
        Ok(AuditConfig {
            dir,
            durability: self.durability.unwrap_or_default(),
            rotate_bytes: mib("audit.rotate_mib", self.rotate_mib, 256)?,
            sync_interval: AuditConfig::SYNC_INTERVAL,
            mend_after: AuditConfig::MEND_AFTER,
            reserve_bytes: reserve_mib.map(|mib| mib * MIB),
            allowance: AllowanceLimits { bytes_per_second: rate * 1_024, burst_bytes },
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
