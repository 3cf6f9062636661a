//! Where the PIN of a token is. It is read each time somebody logs in, so that a PIN that was
//! changed is taken up, and appears in no error and no log line.

use std::fmt;

use cryptoki::types::AuthPin;
use hallmark_plugin_api::Host;
use zeroize::Zeroizing;

/// Bytes of a PIN. PKCS#11 sets no limit; tokens take some tens.
const PIN_BYTES_MAX: usize = 255;

/// Names a PIN.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PinSource {
    /// A secret of the daemon, which is a file.
    Secret(String),
    /// A variable in the environment of the process that the plugin runs in.
    Environment(String),
}

/// Why there is no PIN. Shows no name: it may be the PIN, written where its name belongs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PinError {
    /// The daemon has no such secret, or cannot read it.
    #[error("`pin.secret` names no secret that can be read: add it to `secrets`, with its file")]
    Secret,
    /// The variable is not there.
    #[error(
        "the environment variable of `pin.environment` is not set: pass it on with `environment`"
    )]
    Environment,
    /// Not a PIN.
    #[error("the PIN is empty, longer than {PIN_BYTES_MAX} bytes or not UTF-8")]
    Text,
}

/// A PIN that was read.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Pin(Zeroizing<String>);

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pin")
    }
}

impl PinSource {
    /// Reads the PIN. The line that ends a file is no part of it.
    pub(crate) fn read(&self, host: &Host) -> Result<Pin, PinError> {
        let bytes = match self {
            Self::Secret(name) => host.secret(name).map_err(|_| PinError::Secret)?,
            Self::Environment(name) => {
                std::env::var_os(name).ok_or(PinError::Environment)?.into_encoded_bytes()
            }
        };
        let bytes = Zeroizing::new(bytes);
        let text = std::str::from_utf8(&bytes).map_err(|_| PinError::Text)?;
        let pin = text.trim_end_matches(['\n', '\r']);
        if pin.is_empty() || pin.len() > PIN_BYTES_MAX {
            return Err(PinError::Text);
        }
        Ok(Pin(Zeroizing::new(pin.to_owned())))
    }
}

impl Pin {
    /// As a login takes it; wiped when dropped.
    pub(crate) fn to_auth(&self) -> AuthPin {
        AuthPin::from(self.0.as_str().to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_where_a_name_belongs_is_not_shown() {
        for source in [
            PinSource::Environment("47110815".to_owned()),
            PinSource::Secret("47110815".to_owned()),
        ] {
            let error = source.read(&Host::detached()).unwrap_err();
            let shown = format!("{error} {error:?}");
            assert!(shown.contains("`pin.") && !shown.contains("4711"), "{shown}");
        }
    }

    #[test]
    fn a_pin_is_not_shown() {
        assert_eq!(format!("{:?}", Pin(Zeroizing::new("4711".to_owned()))), "Pin");
    }
}
