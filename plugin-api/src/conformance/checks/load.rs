//! Loading, and the table.

use crate::abi;
use crate::conformance::elf::Inspection;
use crate::conformance::finding::{Checked, fail};
use crate::conformance::kit::Kit;

pub(in crate::conformance) fn table(kit: &Kit<'_>) -> Checked {
    let loaded = kit.load()?;
    let (table, info) = (loaded.table(), loaded.image.info());
    if table.reserved != 0 {
        return fail("`reserved` of its table is not 0");
    }
    let manifest = Inspection::of(&kit.bytes()?).ok().and_then(|found| found.manifest);
    if let Some(manifest) = manifest {
        let version = format!("{}.{}", table.abi_major, table.abi_minor);
        let rows = [
            ("hallmark_plugin", &info.name),
            ("version", &info.version),
            ("vendor", &info.vendor),
            ("abi", &version),
        ];
        if let Some((member, said)) = rows.iter().find(|(member, said)| manifest[member] != **said)
        {
            return fail(format!(
                "its manifest says `{member}` is {}, its table says \"{said}\": write the same",
                manifest[member]
            ));
        }
    }
    let schema = &info.config_schema;
    if !schema.is_empty() && serde_json::from_str::<serde_json::Value>(schema).is_err() {
        return fail("its `config_schema_json` is no JSON document");
    }
    Ok(format!("{} {} by {}, ABI 1.{}", info.name, info.version, info.vendor, info.abi_minor))
}

pub(in crate::conformance) fn extension(kit: &Kit<'_>) -> Checked {
    let loaded = kit.load()?;
    let Some(extension) = loaded.table().extension else {
        return Ok("has no `extension`".to_owned());
    };
    // SAFETY: the name is zero-terminated and lent for the call.
    let found = unsafe { extension(c"hallmark.conformance/4711".as_ptr()) };
    if found.is_null() {
        Ok("an unknown extension is NULL".to_owned())
    } else {
        fail("`extension` has something for a name that nobody defined; answer NULL to it")
    }
}

pub(in crate::conformance) fn health(kit: &Kit<'_>) -> Checked {
    kit.with_instance(|live, _| {
        live.health().map_err(|refusal| refusal.unexpected("health"))?;
        let pushes = live.plugin.services.pushes.load(std::sync::atomic::Ordering::Relaxed);
        let claims = live.plugin.table().caps & abi::HALLMARK_CAP_PUSH != 0;
        if pushes > 0 && !claims {
            return fail("it calls `keys_changed` without HALLMARK_CAP_PUSH; claim it");
        }
        Ok("works now".to_owned())
    })
}
