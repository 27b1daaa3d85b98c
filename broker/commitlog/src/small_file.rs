//! Small files read whole and replaced atomically: written under another name, synced, renamed over, the folder synced.
//! Knows nothing of what they say. Directories and logs drive it.

use std::io;
use std::path::{Path, PathBuf};

use barnabas_runtime::{Disk, OpenMode};
use bytes::Bytes;

use crate::limits::SMALL_FILE_BYTES_MAX;

/// The whole content of a file; `None` when there is none.
pub(crate) async fn read(disk: &dyn Disk, path: &Path) -> io::Result<Option<Bytes>> {
    let file = match disk.open(path, OpenMode::Read).await {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let size = file.size().await?;
    if size > SMALL_FILE_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "file is too large for what it is"));
    }
    file.read_at(0, usize::try_from(size).expect("below the bound")).await.map(Some)
}

/// Replaces a file; afterwards either the old or the new content is found, whatever happens in between.
pub(crate) async fn replace(disk: &dyn Disk, path: &Path, content: Bytes) -> io::Result<()> {
    let staged = with_suffix(path, ".tmp");
    let file = disk.open(&staged, OpenMode::CreateTruncated).await?;
    file.write_at(0, &[content]).await?;
    file.sync().await?;
    drop(file);
    disk.rename(&staged, path).await?;
    disk.sync_dir(parent(path)).await
}

/// Writes a file that is rebuilt when it is wrong: no sync, no rename.
pub(crate) async fn write_cache(disk: &dyn Disk, path: &Path, content: Bytes) -> io::Result<()> {
    let file = disk.open(path, OpenMode::CreateTruncated).await?;
    if content.is_empty() { Ok(()) } else { file.write_at(0, &[content]).await }
}

/// Removes a file that may be gone already.
pub(crate) async fn remove(disk: &dyn Disk, path: &Path) -> io::Result<()> {
    match disk.remove(path).await {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// `path` with `suffix` behind its last component.
pub(crate) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// The folder of a path.
pub(crate) fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or_else(|| Path::new("."))
}
