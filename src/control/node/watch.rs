//! Whether the configuration file was edited, for who asked to have it watched.
//!
//! Owns: what counts as an edit. It looks once a tick, and an edit counts when the file has been the same for two looks: an
//! editor writes in steps. Dispatcher lists and secrets beside the file are not watched.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// What a file looks like from outside: inode, size, time of the last write.
type Look = (u64, u64, i64, i64);

/// A watched file.
#[derive(Debug)]
pub(super) struct Watch {
    file: PathBuf,
    /// The one that was read.
    known: Option<Look>,
    /// The last one that differed.
    seen: Option<Look>,
}

impl Watch {
    /// Watches `file`, which was just read.
    pub(super) fn new(file: &Path) -> Self {
        Self { file: file.to_owned(), known: look(file), seen: None }
    }

    /// The file differs from what was read, as it already did at the last look. A file that is gone is no edit.
    pub(super) fn has_settled_change(&mut self) -> bool {
        let now = look(&self.file);
        if now.is_none() || now == self.known {
            self.seen = None;
            return false;
        }
        if self.seen != now {
            self.seen = now;
            return false;
        }
        (self.known, self.seen) = (now, None);
        true
    }
}

fn look(file: &Path) -> Option<Look> {
    let data = fs::metadata(file).ok()?;
    Some((data.ino(), data.size(), data.mtime(), data.mtime_nsec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edit_counts_once_it_has_settled() {
        let file = std::env::temp_dir().join(format!("sipedge-watch-{}", std::process::id()));
        fs::write(&file, "one").unwrap();
        let mut watch = Watch::new(&file);
        assert!(!watch.has_settled_change());
        fs::write(&file, "two and a half").unwrap();
        assert!(!watch.has_settled_change(), "it may still be written");
        fs::write(&file, "two and three quarters").unwrap();
        assert!(!watch.has_settled_change(), "it was");
        assert!(watch.has_settled_change());
        assert!(!watch.has_settled_change(), "once");
        fs::remove_file(&file).unwrap();
        assert!(!watch.has_settled_change() && !watch.has_settled_change());
        fs::write(&file, "back").unwrap();
        assert!(!watch.has_settled_change() && watch.has_settled_change());
        fs::remove_file(&file).unwrap();
    }
}
