//! Processes, and what they cost by what Linux says of them.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// What a process that ended has used.
#[derive(Clone, Copy, Debug, Default)]
pub struct Used {
    pub seconds: f64,
    /// Of it and its own children, in seconds.
    pub cpu: f64,
    /// The most memory that it had resident, in KiB, looked at every 5 to 50 ms; 0 if it was too short for that.
    pub peak: u64,
}

/// Runs a command to its end, which must be a success, or one of the other exit codes that are named.
pub fn run(command: &mut Command, others: &[i32]) -> Used {
    let (began, cpu) = (Instant::now(), children_cpu());
    let mut child = command.stdin(Stdio::null()).spawn().expect("a program that can be run");
    let mut peak = 0;
    let status = loop {
        if let Some(status) = child.try_wait().expect("a child can be waited for") {
            break status;
        }
        peak = peak.max(memory(child.id(), "VmHWM:"));
        // Rarely enough not to be noticed, and often enough for what is short.
        std::thread::sleep(began.elapsed().div_f64(100.0).clamp(Duration::from_millis(5), Duration::from_millis(50)));
    };
    assert!(status.success() || status.code().is_some_and(|code| others.contains(&code)), "{command:?}: {status}");
    Used { seconds: began.elapsed().as_secs_f64(), cpu: children_cpu() - cpu, peak }
}

/// A process in the background, killed when it is dropped.
pub struct Background(pub Child);

impl Drop for Background {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A line of `/proc/PID/status` in KiB.
pub fn memory(pid: u32, line: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let value = status.lines().find_map(|it| it.strip_prefix(line)).unwrap_or_default();
    value.trim().trim_end_matches(" kB").parse().unwrap_or(0)
}

/// Open file descriptors of a process.
pub fn descriptors(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count)
}

/// Processor time of this process so far, in seconds.
pub fn own_cpu() -> f64 {
    cpu("self", 11)
}

/// Processor time of a running process so far, in seconds.
pub fn cpu_of(pid: u32) -> f64 {
    cpu(&pid.to_string(), 11)
}

fn children_cpu() -> f64 {
    cpu("self", 13)
}

/// Two neighbouring fields of `/proc/PID/stat`, counted behind the name; a tick is a hundredth of a second on Linux.
fn cpu(pid: &str, field: usize) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields = stat.rsplit_once(") ").map_or("", |(_, fields)| fields).split(' ').skip(field).take(2);
    fields.filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0
}

/// The middle of some values (of an even number of them, what lies between the two in the middle), with the least and the
/// most.
pub fn spread(mut values: Vec<f64>) -> (f64, f64, f64) {
    values.sort_by(f64::total_cmp);
    let last = values.len() - 1;
    (f64::midpoint(values[last / 2], values[last.div_ceil(2)]), values[0], values[last])
}
