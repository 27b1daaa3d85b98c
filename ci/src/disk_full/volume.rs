//! A small ext4 in a file, mounted through a loop device, without blocks that only root may use. Unmounted when dropped.
//! Driven by `disk_full`.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::process;

const COMMAND_DEADLINE: Duration = Duration::from_secs(60);

/// A mounted file system.
pub(super) struct Volume {
    path: PathBuf,
    is_mounted: bool,
}

impl Volume {
    /// Makes and mounts one of `bytes` below `folder`.
    pub(super) fn mount(folder: &Path, bytes: u64) -> Result<Self> {
        let image = folder.join("image");
        File::create(&image)?.set_len(bytes)?;
        run(Command::new("mkfs.ext4").args(["-q", "-F", "-m", "0"]).arg(&image)).context("mkfs.ext4 (e2fsprogs)")?;
        let path = folder.join("volume");
        std::fs::create_dir(&path)?;
        run(Command::new("mount").args(["-o", "loop"]).arg(&image).arg(&path))
            .context("NOT CHECKED: this needs the right to mount a loop device, as root outside of most containers")?;
        Ok(Self { path, is_mounted: true })
    }

    /// Where it is mounted.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes that anybody may still write.
    pub(super) fn free_bytes(&self) -> Result<u64> {
        let stat = rustix::fs::statvfs(&self.path)?;
        Ok(stat.f_bavail * stat.f_frsize)
    }

    /// Takes every byte that is left, as another program would.
    pub(super) fn fill(&self) -> Result<()> {
        let mut filler = OpenOptions::new().create(true).append(true).open(self.filler())?;
        for len in [64 * 1024, 4096, 512, 1] {
            let chunk = vec![1; len];
            loop {
                match filler.write_all(&chunk).and_then(|()| filler.sync_data()) {
                    Ok(()) => {}
                    Err(error) if error.kind() == ErrorKind::StorageFull => break,
                    Err(error) => return Err(error).context("filling the volume"),
                }
            }
        }
        Ok(())
    }

    /// Gives that back.
    pub(super) fn clear_filler(&self) -> Result<()> {
        std::fs::remove_file(self.filler()).context("the filler")
    }

    /// Unmounts it.
    pub(super) fn unmount(mut self) -> Result<()> {
        self.is_mounted = false;
        run(Command::new("umount").arg(&self.path))
    }

    fn filler(&self) -> PathBuf {
        self.path.join("filler")
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        if self.is_mounted {
            // Whoever failed says why; a volume that stays is seen in the list of mounts.
            let _ = run(Command::new("umount").arg(&self.path));
        }
    }
}

fn run(command: &mut Command) -> Result<()> {
    process::run(command, &[], COMMAND_DEADLINE)?.success().map(drop)
}
