//! The file, without running any of it.

use crate::abi::HALLMARK_PLUGIN_ENTRY_V1;
use crate::conformance::elf::{Inspection, version_number};
use crate::conformance::finding::{Checked, Trouble, fail};
use crate::conformance::kit::Kit;

fn inspect(kit: &Kit<'_>) -> Result<Inspection, Trouble> {
    let bytes = kit.bytes()?;
    Inspection::of(&bytes).map_err(|error| Trouble::Fail(format!("the file {error}")))
}

pub(in crate::conformance) fn exports(kit: &Kit<'_>) -> Checked {
    let found = inspect(kit)?;
    if !found.shared {
        return fail("it is no shared object: link it with `-shared`, or as a `cdylib`");
    }
    if !found.exports.iter().any(|name| name == HALLMARK_PLUGIN_ENTRY_V1) {
        return fail(format!("it does not export `{HALLMARK_PLUGIN_ENTRY_V1}`"));
    }
    if !found.exports_only_the_entry() {
        let others = found.exports.iter().filter(|name| *name != HALLMARK_PLUGIN_ENTRY_V1);
        let others: Vec<_> = others.take(5).map(String::as_str).collect();
        return fail(format!(
            "it also exports {}, which can collide with another plugin's: compile with \
             -fvisibility=hidden and link with -Wl,--exclude-libs,ALL",
            others.join(", ")
        ));
    }
    Ok("exports the entry and nothing else".to_owned())
}

pub(in crate::conformance) fn manifest(kit: &Kit<'_>) -> Checked {
    let Some(manifest) = inspect(kit)?.manifest else {
        return fail(
            "it has no manifest that can be read without running it: use HALLMARK_MANIFEST",
        );
    };
    let missing = ["hallmark_plugin", "version", "vendor", "abi"]
        .into_iter()
        .find(|member| !manifest[member].is_string());
    match missing {
        Some(member) => fail(format!("its manifest has no text `{member}`")),
        None => Ok(manifest.to_string()),
    }
}

pub(in crate::conformance) fn dependencies(kit: &Kit<'_>) -> Checked {
    let found = inspect(kit)?;
    if let Some(path) = found.search_paths.iter().find(|path| path.contains("$ORIGIN")) {
        return fail(format!(
            "it looks for libraries in `{path}`, and is loaded from memory, where $ORIGIN is \
             nothing: link them statically"
        ));
    }
    if let Some(path) = found.needed.iter().find(|name| name.contains('/')) {
        return fail(format!("it needs the library `{path}` by its path; name it by its soname"));
    }
    let needed = found.needed.join(", ");
    Ok(format!("needs {}", if needed.is_empty() { "nothing" } else { &needed }))
}

pub(in crate::conformance) fn glibc(kit: &Kit<'_>) -> Checked {
    let Some(needs) = inspect(kit)?.glibc else {
        return Ok("needs no version of glibc".to_owned());
    };
    // SAFETY: it only answers.
    let here = unsafe { libc::gnu_get_libc_version() };
    // SAFETY: a constant text of the C library.
    let here = unsafe { std::ffi::CStr::from_ptr(here) };
    let here = here.to_string_lossy();
    if version_number(&needs) > version_number(&here) {
        return fail(format!(
            "it needs glibc {needs}, and this system has {here}: build it on the oldest system that it \
             is for"
        ));
    }
    Ok(format!("needs glibc {needs}"))
}

pub(in crate::conformance) fn hardening(kit: &Kit<'_>) -> Checked {
    let found = inspect(kit)?;
    if found.text_relocations {
        return fail("loading it writes into its code (TEXTREL): compile with -fPIC");
    }
    if found.executable_stack {
        return fail("it asks for an executable stack: link with -Wl,-z,noexecstack");
    }
    Ok("no text relocations, no executable stack".to_owned())
}

pub(in crate::conformance) fn tls(kit: &Kit<'_>) -> Checked {
    if inspect(kit)?.static_tls {
        return fail(
            "it takes static thread-local space (DF_STATIC_TLS), which may have run out when it is \
             loaded: compile without -ftls-model=initial-exec",
        );
    }
    Ok("takes no static thread-local space".to_owned())
}
