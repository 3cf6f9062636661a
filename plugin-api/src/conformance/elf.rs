//! A plugin file's description of itself, for whoever reads it without running it.

use object::elf;
use object::read::elf::{ElfFile64, FileHeader as _, ProgramHeader as _};
use object::{Endianness, Object as _, ObjectSection as _, ObjectSymbol as _};
use serde::Serialize;

use crate::abi::HALLMARK_PLUGIN_ENTRY_V1;

/// The section that holds the manifest.
const MANIFEST_SECTION: &str = "hallmark_manifest";
/// Bytes of a manifest that are shown. One line of JSON.
const MANIFEST_BYTES: usize = 4_096;

/// A shared object, read and not run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Inspection {
    /// Bytes of the file.
    pub bytes: usize,
    /// Machine that it is for, such as `x86_64`.
    pub machine: String,
    /// Is it a shared object?
    pub shared: bool,
    /// Symbols that it exports, sorted.
    pub exports: Vec<String>,
    /// The JSON of its manifest section, where it has one.
    pub manifest: Option<serde_json::Value>,
    /// Libraries that the loader must find.
    pub needed: Vec<String>,
    /// `RPATH` and `RUNPATH`, which mean nothing to a file that is loaded from memory.
    pub search_paths: Vec<String>,
    /// The newest version of glibc that a symbol asks for, such as `2.34`.
    pub glibc: Option<String>,
    /// Does loading it write into its code?
    pub text_relocations: bool,
    /// Does it ask for a stack that can be executed?
    pub executable_stack: bool,
    /// Does it take thread-local space that only programs have plenty of?
    pub static_tls: bool,
    /// Does it bring a Go runtime?
    pub go: bool,
}

/// The bytes are no file that can be inspected.
#[derive(Debug, thiserror::Error)]
#[error("is no 64-bit ELF file that can be read: {0}")]
pub struct InspectError(#[from] object::read::Error);

impl Inspection {
    /// Reads the bytes of a file.
    ///
    /// # Errors
    /// They are no whole 64-bit ELF file.
    pub fn of(bytes: &[u8]) -> Result<Self, InspectError> {
        let file = ElfFile64::<Endianness>::parse(bytes)?;
        let mut this = Self {
            bytes: bytes.len(),
            machine: format!("{:?}", file.architecture()).to_lowercase(),
            shared: file.elf_header().e_type(file.endian()) == elf::ET_DYN,
            exports: exports(&file)?,
            manifest: manifest(&file),
            needed: Vec::new(),
            search_paths: Vec::new(),
            glibc: glibc(&file, bytes)?.map(|(major, minor)| format!("{major}.{minor}")),
            text_relocations: false,
            executable_stack: executable_stack(&file),
            static_tls: false,
            go: file.section_by_name(".go.buildinfo").is_some(),
        };
        this.read_dynamic(&file)?;
        Ok(this)
    }

    /// Does it export the entry of a plugin and nothing else?
    pub fn exports_only_the_entry(&self) -> bool {
        self.exports == [HALLMARK_PLUGIN_ENTRY_V1]
    }

    fn read_dynamic(&mut self, file: &ElfFile64<'_>) -> Result<(), InspectError> {
        let table = file.elf_dynamic_table()?;
        for entry in table.iter() {
            let text =
                || table.string(entry).map(|text| String::from_utf8_lossy(text).into_owned());
            match entry.tag {
                elf::DT_NEEDED => self.needed.push(text()?),
                elf::DT_RPATH | elf::DT_RUNPATH => self.search_paths.push(text()?),
                elf::DT_TEXTREL => self.text_relocations = true,
                elf::DT_FLAGS => {
                    let flags = elf::DynamicFlags(entry.val);
                    self.text_relocations |= flags.contains(elf::DF_TEXTREL);
                    self.static_tls |= flags.contains(elf::DF_STATIC_TLS);
                }
                _ => {}
            }
        }
        Ok(())
    }
}

fn exports(file: &ElfFile64<'_>) -> Result<Vec<String>, InspectError> {
    let exported = |symbol: &object::read::elf::ElfSymbol<'_, '_, _>| {
        symbol.is_definition() && symbol.is_global()
    };
    let names = file.dynamic_symbols().filter(exported);
    let names = names.map(|symbol| Ok(String::from_utf8_lossy(symbol.name_bytes()?).into_owned()));
    let mut names = names.collect::<Result<Vec<_>, InspectError>>()?;
    names.sort();
    names.dedup();
    Ok(names)
}

fn manifest(file: &ElfFile64<'_>) -> Option<serde_json::Value> {
    let data = file.section_by_name(MANIFEST_SECTION)?.data().ok()?;
    let text = data.get(..data.len().min(MANIFEST_BYTES))?;
    let text = text.split(|&byte| byte == b'\n' || byte == 0).next()?;
    serde_json::from_slice(text).ok()
}

/// The newest `GLIBC_x.y` among the versions that its symbols need.
fn glibc(file: &ElfFile64<'_>, bytes: &[u8]) -> Result<Option<(u32, u32)>, InspectError> {
    let (endian, sections) = (file.endian(), file.elf_section_table());
    let Some((mut needed, link)) = sections.gnu_verneed(endian, bytes)? else { return Ok(None) };
    let strings = sections.strings(endian, bytes, link)?;
    let mut newest = None;
    while let Some((_, mut versions)) = needed.next()? {
        while let Some(version) = versions.next()? {
            let name = String::from_utf8_lossy(version.name(endian, strings)?).into_owned();
            newest = newest.max(name.strip_prefix("GLIBC_").and_then(version_number));
        }
    }
    Ok(newest)
}

/// `2.34` or `2.2.5`, as far as it is compared.
pub(super) fn version_number(text: &str) -> Option<(u32, u32)> {
    let mut parts = text.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// A stack is executable where the file says so, and where it says nothing.
fn executable_stack(file: &ElfFile64<'_>) -> bool {
    let endian = file.endian();
    let stack =
        file.elf_program_headers().iter().find(|header| header.p_type(endian) == elf::PT_GNU_STACK);
    stack.is_none_or(|header| header.p_flags(endian).contains(elf::PF_X))
}
