//! Files from outside: opened without waiting, and refused unless they are regular files.
//!
//! Opening a FIFO waits for a writer, and reading a device may never end. Symbolic links are
//! followed: a mounted ConfigMap is made of them.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;

/// Opens a regular file for reading.
pub fn open(path: &Path) -> io::Result<File> {
    // Before it is opened, because a device may act on being opened.
    require_regular(&std::fs::metadata(path)?)?;
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    // The path may lead to another file by now.
    require_regular(&file.metadata()?)?;
    Ok(file)
}

/// The bytes of a regular file, at most `bytes_max`.
pub fn read(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open(path)?.take(bytes_max.saturating_add(1)).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > bytes_max {
        true => Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("it is larger than {bytes_max} bytes"),
        )),
        false => Ok(bytes),
    }
}

fn require_regular(metadata: &Metadata) -> io::Result<()> {
    match metadata.is_file() {
        true => Ok(()),
        false => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "it is not a regular file, but a directory, a FIFO, a socket or a device",
        )),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use rustix::fs::{FileType, Mode, mknodat};

    use super::*;

    #[test]
    fn only_regular_files_are_read_through_links_or_not() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::write(at("file"), "four").unwrap();
        symlink("file", at("link")).unwrap();
        for name in ["file", "link"] {
            assert_eq!(read(&at(name), 4).unwrap(), b"four");
            assert_eq!(read(&at(name), 3).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        }
        mknodat(rustix::fs::CWD, at("fifo"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
        symlink("fifo", at("link to fifo")).unwrap();
        symlink("/dev/zero", at("link to device")).unwrap();
        for name in ["fifo", "socket", "link to fifo", "link to device", "."] {
            let error = read(&at(name), 4).unwrap_err().to_string();
            assert!(error.contains("not a regular file"), "{name}: {error}");
        }
        symlink("nowhere", at("dangling")).unwrap();
        assert_eq!(read(&at("dangling"), 4).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
