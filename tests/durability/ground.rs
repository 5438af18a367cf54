//! What a test stands on that not every machine has: tools, the right to mount, small disks.

use std::env;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Whether something may be left out: never where everything must be checked.
fn left_out(what: &str) -> bool {
    assert!(
        env::var("CI").as_deref() != Ok("true"),
        "CI=true and {what}"
    );
    impossible(what)
}

/// What no installation brings: rights and devices that a sandbox does not give.
fn impossible(what: &str) -> bool {
    eprintln!("LEFT OUT: {what}");
    false
}

/// Whether a program is there; says so loudly if not.
pub(crate) fn tool(name: &str) -> bool {
    let found = Command::new(name)
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    found.is_ok() || left_out(&format!("{name} is not installed"))
}

/// Whether file systems can be mounted here: by root, where loop devices are.
pub(crate) fn can_mount() -> bool {
    if !rustix::process::geteuid().is_root() {
        return impossible("only root can mount the disks that are cut off or fill up");
    }
    for name in ["mkfs.ext4", "mount", "umount", "python3"] {
        if !is_there(name) {
            return left_out(&format!("{name} is not installed"));
        }
    }
    if !Path::new("/dev/loop-control").exists() {
        return impossible("there are no loop devices");
    }
    let tried = tempfile::tempdir().map_err(|error| error.to_string());
    match tried.and_then(|folder| Mount::ext4(folder.path(), 16).map(drop)) {
        Ok(()) => true,
        Err(why) => impossible(&format!("no loop device can be mounted: {why}")),
    }
}

fn is_there(name: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut places = env::split_paths(&path).chain(["/sbin".into(), "/usr/sbin".into()]);
    places.any(|place| place.join(name).exists())
}

/// A mounted file system; unmounted when dropped.
pub(crate) struct Mount {
    /// The image of one on a loop device.
    image: Option<PathBuf>,
    point: PathBuf,
}

impl Mount {
    /// A new ext4 of so many MiB on a loop device; image and mount point are inside `folder`.
    pub(crate) fn ext4(folder: &Path, mib: u64) -> Result<Mount, String> {
        let image = folder.join("image");
        let file = std::fs::File::create(&image).map_err(|error| error.to_string())?;
        file.set_len(mib << 20).map_err(|error| error.to_string())?;
        run(Command::new("mkfs.ext4")
            .args(["-q", "-m", "0", "-F"])
            .arg(&image))?;
        let mount = Mount {
            image: Some(image),
            point: folder.join("disk"),
        };
        std::fs::create_dir(&mount.point).map_err(|error| error.to_string())?;
        mount.mount()?;
        Ok(mount)
    }

    /// A file system in memory.
    pub(crate) fn tmpfs(folder: &Path, mib: u64) -> Result<Mount, String> {
        let point = folder.join("disk");
        std::fs::create_dir(&point).map_err(|error| error.to_string())?;
        let size = format!("size={mib}m");
        run(Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "tmpfs"])
            .arg(&point))?;
        Ok(Mount { image: None, point })
    }

    /// Where it is mounted.
    pub(crate) fn path(&self) -> &Path {
        &self.point
    }

    fn mount(&self) -> Result<(), String> {
        let image = self.image.as_deref().unwrap_or(Path::new("none"));
        run(Command::new("mount")
            .args(["-o", "loop"])
            .arg(image)
            .arg(&self.point))
    }

    /// Makes ready to cut the file system off, so that it takes no time when it is to happen.
    pub(crate) fn scissors(&self) -> Result<Scissors, String> {
        // EXT4_IOC_SHUTDOWN, _IOR('X', 125, __u32), with EXT4_GOING_FLAGS_NOLOGFLUSH.
        let script = "import fcntl, os, struct, sys\n\
                      disk = os.open(sys.argv[1], os.O_RDONLY)\n\
                      print('ready', flush=True)\n\
                      sys.stdin.readline()\n\
                      fcntl.ioctl(disk, 0x8004587d, struct.pack('I', 2))\n";
        let mut child = Command::new("python3")
            .args(["-c", script])
            .arg(&self.point)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| error.to_string())?;
        let output = child.stdout.take().ok_or("no output")?;
        let mut line = String::new();
        BufReader::new(output)
            .read_line(&mut line)
            .map_err(|error| error.to_string())?;
        Ok(Scissors(child))
    }

    /// Unmounts and mounts it again, as the next boot would.
    pub(crate) fn come_back(&self) -> Result<(), String> {
        run(Command::new("umount").arg(&self.point))?;
        self.mount()
    }
}

/// Cuts a file system off from its device.
pub(crate) struct Scissors(Child);

impl Scissors {
    /// What is not on the device is lost, the journal's part in memory included.
    pub(crate) fn cut(mut self) -> Result<(), String> {
        // Its end is the line it waits for.
        drop(self.0.stdin.take());
        let status = self.0.wait().map_err(|error| error.to_string())?;
        status
            .success()
            .then_some(())
            .ok_or_else(|| format!("not cut off: {status}"))
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // A test that fails may leave a file open; then it goes with the last of them.
        let _ = run(Command::new("umount").arg("-l").arg(&self.point));
    }
}

fn run(command: &mut Command) -> Result<(), String> {
    let done = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("{command:?}: {error}"))?;
    let said = String::from_utf8_lossy(&done.stderr);
    let why = || format!("{command:?}: {} {said}", done.status);
    done.status.success().then_some(()).ok_or_else(why)
}
