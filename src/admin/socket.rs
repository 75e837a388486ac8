//! The admin listener's unix socket as a file.
//!
//! Owns: whom it may replace, who may open it, and that it is gone when the node has ended.

use std::fs::Permissions;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

/// Who owns the unix socket, and their group, may use it.
const MODE: u32 = 0o660;

/// A socket that a dead process left is replaced; one that answers belongs to another node.
pub(super) fn bind(path: &Path) -> Result<(UnixListener, SocketFile), String> {
    let refused = |why: &str| {
        let path = path.display();
        format!(
            "the admin socket cannot be made at {path}: {why}. Write another path into [admin] socket, or none"
        )
    };
    if let Ok(found) = std::fs::symlink_metadata(path) {
        if !found.file_type().is_socket() {
            return Err(refused("a file that is no socket is there"));
        }
        if UnixStream::connect(path).is_ok() {
            return Err(refused("another process listens there"));
        }
        std::fs::remove_file(path).map_err(|error| refused(&error.to_string()))?;
    }
    let bound = UnixListener::bind(path).and_then(|listener| {
        std::fs::set_permissions(path, Permissions::from_mode(MODE))?;
        listener.set_nonblocking(true)?;
        let made = std::fs::symlink_metadata(path)?;
        Ok((listener, SocketFile { path: path.to_owned(), number: (made.dev(), made.ino()) }))
    });
    bound.map_err(|error| refused(&error.to_string()))
}

/// The file of a bound socket. Dropping it removes the file, unless another process has put its own there since.
pub(super) struct SocketFile {
    path: PathBuf,
    /// Device and inode.
    number: (u64, u64),
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let is_ours = std::fs::symlink_metadata(&self.path)
            .is_ok_and(|found| (found.dev(), found.ino()) == self.number);
        if is_ours {
            // Without the right to it, the next start replaces it.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}
