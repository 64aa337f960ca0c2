//! On what was measured.
use std::{fs, path::Path, thread};

/// Processor, memory, kernel, filesystem.
pub(super) fn describe(dir: &Path) -> String {
    let read = |file| fs::read_to_string(file).unwrap_or_default();
    let processor = read("/proc/cpuinfo");
    let processor = field(&processor, "model name").unwrap_or("processor unknown");
    let memory = read("/proc/meminfo");
    let memory = field(&memory, "MemTotal").and_then(|text| text.strip_suffix(" kB")?.parse::<f64>().ok());
    let memory = memory.map_or("memory unknown".into(), |kib| format!("{:.0} GiB", kib / f64::from(1 << 20)));
    let kernel = read("/proc/sys/kernel/osrelease");
    // What follows a dash is the distribution's own.
    let kernel = kernel.trim().split('-').next().unwrap_or_default();
    let kernel = if kernel.is_empty() { std::env::consts::OS } else { &format!("Linux {kernel}") };
    let mounts = read("/proc/self/mounts");
    let disk =
        dir.canonicalize().ok().and_then(|dir| filesystem(&mounts, &dir)).unwrap_or("filesystem unknown");
    format!("{} × {processor}, {memory}, {kernel}, {disk}", cores())
}

/// Cores that this process may use.
pub(super) fn cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// The most memory that this process ever had, in megabytes.
pub(super) fn peak_rss_mb() -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let kib: f64 = field(&status, "VmHWM")?.strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kib * 1024.0 / 1e6)
}

/// The first `name: value`.
fn field<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    let mut fields = text.lines().filter_map(|line| line.split_once(':'));
    fields.find(|(found, _)| found.trim() == name).map(|(_, value)| value.trim())
}

/// That of the innermost mount that has the folder.
fn filesystem<'t>(mounts: &'t str, dir: &Path) -> Option<&'t str> {
    let mounts = mounts.lines().filter_map(|line| {
        let mut words = line.split(' ').skip(1);
        Some((words.next()?, words.next()?))
    });
    mounts.filter(|(at, _)| dir.starts_with(at)).max_by_key(|(at, _)| at.len()).map(|(_, kind)| kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_filesystem_is_that_of_the_innermost_mount() {
        let mounts = "/dev/a / ext4 rw 0 0\ntmpfs /tmp tmpfs rw 0 0\n/dev/b /tmp/x xfs rw 0 0\n";
        assert_eq!(filesystem(mounts, Path::new("/tmp/x/y")), Some("xfs"));
        assert_eq!(filesystem(mounts, Path::new("/tmp/xy")), Some("tmpfs"));
        assert_eq!(filesystem(mounts, Path::new("/home")), Some("ext4"));
    }

    #[test]
    fn a_field_has_its_own_name() {
        let text = "VmPeak:\t  10 kB\nVmHWM:\t   2048 kB\nVmHWMX:\t 1 kB\n";
        assert_eq!(field(text, "VmHWM"), Some("2048 kB"));
        assert_eq!(field(text, "VmRSS"), None);
    }
}
