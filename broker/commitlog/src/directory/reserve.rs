//! Room that a log directory keeps for itself on a device that others may fill: a file whose blocks are allocated and
//! hold nothing. A start gives the room back before it writes anything, so that it needs no free byte, and the node
//! takes it again before it lets clients in. A cache in the sense of the other files of our own: worthless to anybody
//! else, made again when it is missing. [`DirectoryOwner`](super::DirectoryOwner) drives it.

use std::io;
use std::path::Path;

use barnabas_runtime::{Env, OpenMode};

use crate::limits::{RESERVE_BYTES, RESERVE_STEP_BYTES_MIN};
use crate::name::RESERVE;
use crate::small_file;

/// Gives the room back if the device has less than that beside it.
pub(super) async fn release_if_short(env: &Env, directory: &Path) -> io::Result<()> {
    // Where the room cannot be told, the reserve serves more when it is free.
    let is_short = env.disk.space(directory).await.map_or(true, |space| space.usable_bytes < RESERVE_BYTES);
    if is_short {
        barnabas_base::reachable!(env, RESERVE_GIVEN_BACK);
        small_file::remove(&*env.disk, &directory.join(RESERVE)).await?;
    }
    Ok(())
}

/// Takes as much of the room as there is; the rest is taken by a later call, when there is more.
pub(super) async fn take(env: &Env, directory: &Path) -> io::Result<()> {
    let file = match env.disk.open(&directory.join(RESERVE), OpenMode::CreateOrOpen).await {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::StorageFull => return Ok(()),
        Err(error) => return Err(error),
    };
    let (mut end, mut step) = (0, RESERVE_BYTES);
    while end < RESERVE_BYTES && step >= RESERVE_STEP_BYTES_MIN {
        match file.allocate(0, (end + step).min(RESERVE_BYTES)).await {
            Ok(()) => end += step,
            Err(error) if error.kind() == io::ErrorKind::StorageFull => step /= 2,
            // A file system that cannot allocate has no reserve, and says so at every start.
            Err(error) if error.kind() == io::ErrorKind::Unsupported => return Ok(()),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
