//! Files of bounded size: a ring of captures, and a log with one file before it.
//!
//! Owns: when a file ends and which one is next. Knows nothing of what is written. Sizes are bytes.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// `files` files of at most `file_bytes_max`: the oldest gives way.
#[derive(Debug)]
pub(super) struct FileRing {
    folder: PathBuf,
    stem: String,
    files: usize,
    file_bytes_max: u64,
    /// What each file starts with.
    head: Vec<u8>,
    place: usize,
    current: File,
    size: u64,
}

impl FileRing {
    /// Goes on behind the file that was written last.
    pub(super) fn open(
        folder: &Path,
        stem: &str,
        (files, file_bytes_max): (usize, u64),
        head: Vec<u8>,
    ) -> io::Result<Self> {
        std::fs::create_dir_all(folder)?;
        let written = |place: usize| {
            let time =
                std::fs::metadata(path(folder, stem, place)).and_then(|file| file.modified());
            time.unwrap_or(SystemTime::UNIX_EPOCH)
        };
        let place = (0..files).min_by_key(|&place| written(place)).unwrap_or(0);
        let current = start(&path(folder, stem, place), &head)?;
        let size = u64::try_from(head.len()).unwrap_or(0);
        let (folder, stem) = (folder.to_owned(), stem.to_owned());
        Ok(Self { folder, stem, files, file_bytes_max, head, place, current, size })
    }

    /// Appends one record, in the next file when it does not fit into this one.
    pub(super) fn append(&mut self, record: &[u8]) -> io::Result<()> {
        let size = u64::try_from(record.len()).unwrap_or(u64::MAX);
        let head = u64::try_from(self.head.len()).unwrap_or(0);
        if self.size.saturating_add(size) > self.file_bytes_max && self.size > head {
            self.place = (self.place + 1) % self.files;
            self.current = start(&path(&self.folder, &self.stem, self.place), &self.head)?;
            self.size = head;
        }
        self.current.write_all(record)?;
        self.size += size;
        Ok(())
    }
}

fn path(folder: &Path, stem: &str, place: usize) -> PathBuf {
    folder.join(format!("{stem}-{place}.pcapng"))
}

fn start(path: &Path, head: &[u8]) -> io::Result<File> {
    let mut file = File::create(path)?;
    file.write_all(head)?;
    Ok(file)
}

/// A file that is appended to; at its bound it becomes `NAME.1`, in place of what was that.
#[derive(Debug)]
pub(super) struct BoundedLog {
    path: PathBuf,
    file_bytes_max: u64,
    current: File,
    size: u64,
}

impl BoundedLog {
    pub(super) fn open(path: &Path, file_bytes_max: u64) -> io::Result<Self> {
        let current = OpenOptions::new().create(true).append(true).open(path)?;
        let size = current.metadata()?.len();
        Ok(Self { path: path.to_owned(), file_bytes_max, current, size })
    }

    pub(super) fn append(&mut self, line: &[u8]) -> io::Result<()> {
        if self.size >= self.file_bytes_max {
            let mut before = self.path.clone().into_os_string();
            before.push(".1");
            std::fs::rename(&self.path, before)?;
            *self = Self::open(&self.path, self.file_bytes_max)?;
        }
        self.current.write_all(line)?;
        self.size += u64::try_from(line.len()).unwrap_or(0);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder of this test, gone at its end.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let folder =
                std::env::temp_dir().join(format!("sipedge-{name}-{}", std::process::id()));
            std::fs::create_dir_all(&folder).expect("a folder");
            Self(folder)
        }

        fn read(&self, name: &str) -> String {
            std::fs::read_to_string(self.0.join(name)).unwrap_or_default()
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn the_oldest_file_gives_way() {
        let folder = Folder::new("ring");
        let mut ring = FileRing::open(&folder.0, "t", (3, 10), b"H:".to_vec()).expect("a ring");
        for record in ["aaaa", "bbbb", "cccc", "dddd", "eeee", "ffff", "gggg"] {
            ring.append(record.as_bytes()).expect("room");
        }
        let files = ["t-0.pcapng", "t-1.pcapng", "t-2.pcapng"].map(|name| folder.read(name));
        assert_eq!(files, ["H:gggg", "H:ccccdddd", "H:eeeeffff"]);
        // What fits into no file still gets one of its own.
        ring.append(b"larger than a file").expect("room");
        assert_eq!(folder.read("t-1.pcapng"), "H:larger than a file");
        assert_eq!(std::fs::read_dir(&folder.0).expect("a folder").count(), 3);
    }

    #[test]
    fn a_log_has_one_file_before_it() {
        let folder = Folder::new("log");
        let path = folder.0.join("d.jsonl");
        for line in ["one\n", "two\n", "three\n", "four\n"] {
            // Opened anew each time: the size is that of the file.
            BoundedLog::open(&path, 8)
                .and_then(|mut log| log.append(line.as_bytes()))
                .expect("a file");
        }
        assert_eq!(
            (folder.read("d.jsonl.1"), folder.read("d.jsonl")),
            ("one\ntwo\n".into(), "three\nfour\n".into())
        );
    }
}
