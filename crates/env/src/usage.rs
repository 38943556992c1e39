//! What a process has used of its machine: plain figures for INFO.

use std::time::Duration;

/// Time on processors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CpuTime {
    /// In our own code.
    pub user: Duration,
    /// In the kernel on our behalf.
    pub system: Duration,
}

/// One process, as its kernel sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Its number.
    pub process_id: u32,
    /// Kernel, release and machine, as in `Linux 6.1.0 x86_64`.
    pub system_name: String,
    /// Of all its threads.
    pub cpu: CpuTime,
    /// Of its first thread alone.
    pub cpu_main_thread: CpuTime,
    /// Of its children that have ended.
    pub cpu_children: CpuTime,
    /// Bytes resident in memory.
    pub resident_bytes: u64,
    /// The most there ever were.
    pub resident_bytes_peak: u64,
    /// Bytes of memory of the whole machine.
    pub machine_bytes: u64,
}
