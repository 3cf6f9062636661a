//! Names of hosts, as they are written in the configuration.

use std::net::IpAddr;

use super::ConfigError;

/// The names as they are compared: in lower case, without brackets and the last dot.
pub(super) fn compared(written: Vec<String>) -> Result<Vec<String>, ConfigError> {
    let host = |written: String| {
        let host = written.trim_start_matches('[').trim_end_matches(']').trim_end_matches('.');
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        let is_host = !host.is_empty() && host.bytes().all(legal) || host.parse::<IpAddr>().is_ok();
        if is_host { Ok(host.to_ascii_lowercase()) } else { Err(ConfigError::AllowedHost(written)) }
    };
    written.into_iter().map(host).collect()
}
