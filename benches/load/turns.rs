//! Processes that run in turn, each for a moment while the others stand still. A machine that others share is a fifth faster
//! for some seconds and then slower again; what is compared in turn meets the same.

use std::io::Read;
use std::process::Child;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};

use super::process::{Background, cpu_of, memory};

/// Shorter than machines stay as fast as they are, and long enough for a thousand answers.
const TURN: Duration = Duration::from_millis(500);
/// Between two turns: what is still under way comes to its end, and counts as the time of nobody.
pub const PAUSE: Duration = Duration::from_millis(15);

/// What a process used in its turns.
#[derive(Debug, Default)]
pub struct Used {
    pub seconds: f64,
    /// Of it, in seconds.
    pub cpu: f64,
    /// The most memory that it had resident, in KiB, looked at after each turn but the last.
    pub peak: u64,
    /// Of the server meanwhile, in seconds.
    pub served: f64,
    /// What it wrote.
    pub output: String,
}

/// What starts a process, at its first turn.
pub type Start<'a> = Box<dyn FnOnce() -> Child + 'a>;

/// Runs processes until each of them has ended, which must be a success.
pub fn in_turn(starts: Vec<Start<'_>>, server: u32) -> Vec<Used> {
    let mut used: Vec<Used> = starts.iter().map(|_| Used::default()).collect();
    let mut running: Vec<(usize, Background)> = Vec::new();
    for (number, start) in starts.into_iter().enumerate() {
        let (began, served) = (Instant::now(), cpu_of(server));
        running.push((number, Background(start())));
        let (_, process) = running.last_mut().expect("what was pushed");
        if turn(process, &mut used[number], (began, served), server, Some(TURN)) {
            running.pop();
        }
    }
    while !running.is_empty() {
        let time = (running.len() > 1).then_some(TURN);
        // To and fro, so that none comes after the same other each time.
        running.reverse();
        running.retain_mut(|(number, process)| {
            !turn(process, &mut used[*number], (Instant::now(), cpu_of(server)), server, time)
        });
    }
    used
}

/// Lets a process go on that stood still.
pub fn go_on(process: &Background) {
    kill_process(Pid::from_child(&process.0), Signal::CONT).expect("a process that was not waited for");
}

/// Lets a process stand still.
pub fn stand_still(process: &Background) {
    kill_process(Pid::from_child(&process.0), Signal::STOP).expect("a process that was not waited for");
}

/// Gives whether the process has ended.
fn turn(process: &mut Background, used: &mut Used, began: (Instant, f64), server: u32, time: Option<Duration>) -> bool {
    go_on(process);
    let end = pidfd_open(Pid::from_child(&process.0), PidfdFlags::empty()).expect("a process that was not waited for");
    let time = time.map(|time| Timespec::try_from(time).expect("less than a second"));
    let has_ended =
        poll(&mut [PollFd::new(&end, PollFlags::IN)], time.as_ref()).expect("a process can be waited for") > 0;
    if !has_ended {
        stand_still(process);
    }
    used.seconds += began.0.elapsed().as_secs_f64();
    std::thread::sleep(PAUSE);
    used.served += cpu_of(server) - began.1;
    used.cpu = cpu_of(process.0.id());
    if has_ended {
        if let Some(stdout) = &mut process.0.stdout {
            stdout.read_to_string(&mut used.output).expect("text");
        }
        let status = process.0.wait().expect("a child can be waited for");
        assert!(status.success(), "{status}");
    } else {
        used.peak = memory(process.0.id(), "VmHWM:");
    }
    has_ended
}
