//! Effects below HTTP's meaning: time, connections, lengths.

use std::time::Duration;

use super::effect::Effect;
use crate::demo::wire::{Answer, Break, BreakPoint};

fn breaks(point: BreakPoint, how: Break) -> Effect {
    Effect::spoiling(move |_, answer| answer.breaks = Some((point, how)))
}

/// The connection is closed instead of an answer.
pub fn drops_connection() -> Effect {
    breaks(BreakPoint::BeforeAnswer, Break::Close)
}

/// The connection is reset instead of an answer.
pub fn resets() -> Effect {
    breaks(BreakPoint::BeforeAnswer, Break::Reset)
}

/// Never answers.
pub fn hangs() -> Effect {
    breaks(BreakPoint::BeforeAnswer, Break::Hang)
}

/// The body ends after this many bytes, whatever the head promised; an answer to HEAD is not changed.
pub fn cuts_body_after(bytes: usize) -> Effect {
    breaks(BreakPoint::InBody(bytes), Break::Close)
}

/// No length, and the connection is closed in good order after this many bytes of the body.
pub fn ends_undeclared_body_after(bytes: usize) -> Effect {
    Effect::spoiling(move |_, answer| {
        answer.remove_header("Content-Length");
        answer.body.undeclared = true;
        answer.breaks = Some((BreakPoint::InBody(bytes), Break::Close));
    })
}

/// Nothing comes after this many bytes of the body.
pub fn stalls_body_after(bytes: usize) -> Effect {
    breaks(BreakPoint::InBody(bytes), Break::Hang)
}

/// The answer comes this much later.
pub fn delays(delay: Duration) -> Effect {
    Effect::spoiling(move |_, answer| answer.delay += delay)
}

/// One byte of the body, then a pause, and so on.
pub fn slow_body(pause: Duration) -> Effect {
    Effect::spoiling(move |_, answer| answer.body.pause = Some(pause))
}

/// A body without a length that never ends.
pub fn endless_body() -> Effect {
    Effect::spoiling(|_, answer| {
        answer.remove_header("Content-Length");
        answer.body.endless = true;
        answer.body.bytes = vec![b' '; 64 * 1024].into();
    })
}

/// `Content-Length` says this, and the body is what it was.
pub fn claims_length(bytes: u64) -> Effect {
    Effect::spoiling(move |_, answer| answer.set_header("Content-Length", bytes.to_string()))
}

/// This many headers more.
pub fn many_headers(count: usize) -> Effect {
    Effect::spoiling(move |_, answer: &mut Answer| {
        answer.headers.extend((0..count).map(|index| (format!("X-Filler-{index}"), "x".repeat(100))));
    })
}
