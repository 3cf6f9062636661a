//! Checks of faults around a plugin, and of whom it blames for them.

use std::sync::atomic::Ordering;

use crate::abi;
use crate::conformance::finding::{Checked, Trouble, fail};
use crate::conformance::kit::Kit;
use crate::conformance::plugin::{Refusal, rc_name};

/// A configuration that is none is refused, with a text for its writer.
pub(in crate::conformance) fn configuration(kit: &Kit<'_>) -> Checked {
    let loaded = kit.load()?;
    for config in ["not JSON", "{", "4711"] {
        match loaded.create_from(loaded.host.ordinary(), config) {
            Ok(_) => {
                return fail(format!(
                    "`create` takes `{config}` for a configuration; refuse with RC_CONFIG what is no \
                     JSON object"
                ));
            }
            Err(Refusal { rc: abi::HALLMARK_RC_CONFIG, text }) if !text.trim().is_empty() => {}
            Err(Refusal { rc: abi::HALLMARK_RC_CONFIG, .. }) => {
                return fail("`create` refuses a configuration without saying why; fill `error`");
            }
            Err(Refusal { rc, text }) => {
                return fail(format!(
                    "`create` answers {} ({text}) to the configuration `{config}`; answer RC_CONFIG",
                    rc_name(rc)
                ));
            }
        }
    }
    Ok("refused with its reason".to_owned())
}

/// A secret that is not there is the operator's fault, not a bug and not a wrong signature.
pub(in crate::conformance) fn secret(kit: &Kit<'_>) -> Checked {
    let loaded = kit.load()?;
    loaded.create()?.open_if_any()?;
    if loaded.services.asked.load(Ordering::Relaxed) == 0 {
        return Err(Trouble::Skip("the plugin asks for no secret"));
    }
    loaded.services.forgetful.store(true, Ordering::Relaxed);
    let made = loaded.create_from(loaded.host.ordinary(), &kit.subject.config);
    let (function, refusal) = match made {
        Ok(live) => ("snapshot_open", live.refusal_of_snapshot()),
        Err(refusal) => ("create", Some(refusal)),
    };
    let named = [abi::HALLMARK_RC_CONFIG, abi::HALLMARK_RC_AUTH, abi::HALLMARK_RC_UNAVAILABLE];
    match refusal {
        None => Ok("works without it".to_owned()),
        Some(Refusal { rc, text }) if named.contains(&rc) && !text.trim().is_empty() => Ok(text),
        Some(Refusal { rc, text }) => fail(format!(
            "`{function}` answers {} (`{text}`) where a secret is missing; answer RC_CONFIG and say \
             which",
            rc_name(rc)
        )),
    }
}
