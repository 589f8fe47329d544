//! What a measurement says of where it was made.

use std::fs;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use speadway::net::interfaces;

use super::protocol::Host;

impl Host {
    /// This host.
    pub(super) fn this() -> Self {
        let line = |path| fs::read_to_string(path).unwrap_or_default().trim().to_owned();
        let cpu = line("/proc/cpuinfo");
        let model = cpu.lines().find(|line| line.starts_with("model name"));
        let interfaces = interfaces().unwrap_or_default();
        Self {
            name: line("/proc/sys/kernel/hostname"),
            cpu: model.and_then(|line| Some(line.split_once(':')?.1.trim())).unwrap_or("?").into(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            kernel: line("/proc/sys/kernel/osrelease"),
            speadway: env!("CARGO_PKG_VERSION").to_owned(),
            addresses: interfaces.into_iter().flat_map(|interface| interface.addresses).collect(),
        }
    }
}

/// CPU time of this process so far: of all threads, in user and kernel mode.
pub(super) fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    // Neither is ever negative.
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
