//! Effects on timing, connections and lengths.

use std::time::Duration;

use super::effect::Effect;
use crate::demo::wire::{Answer, Break, BreakPoint};

fn breaks(point: BreakPoint, how: Break) -> Effect {
    Effect::spoiling(move |_, answer| answer.breaks = Some((point, how)))
}

/// The connection is closed instead of a response.
pub fn drops_connection() -> Effect {
    breaks(BreakPoint::BeforeAnswer, Break::Close)
}

/// The connection is reset instead of a response.
pub fn resets() -> Effect {
    breaks(BreakPoint::BeforeAnswer, Break::Reset)
}

/// Never answers.
pub fn hangs() -> Effect {
    breaks(BreakPoint::BeforeAnswer, Break::Hang)
}

/// The body ends after this many bytes, regardless of the headers. Responses to HEAD are not affected.
pub fn cuts_body_after(bytes: usize) -> Effect {
    breaks(BreakPoint::InBody(bytes), Break::Close)
}

/// The length is undeclared, and the connection is closed cleanly after this many bytes of the body.
pub fn ends_undeclared_body_after(bytes: usize) -> Effect {
    Effect::spoiling(move |_, answer| {
        answer.remove_header("Content-Length");
        answer.body.undeclared = true;
        answer.breaks = Some((BreakPoint::InBody(bytes), Break::Close));
    })
}

/// The body stalls after this many bytes.
pub fn stalls_body_after(bytes: usize) -> Effect {
    breaks(BreakPoint::InBody(bytes), Break::Hang)
}

/// The response is delayed.
pub fn delays(delay: Duration) -> Effect {
    Effect::spoiling(move |_, answer| answer.delay += delay)
}

/// A pause after every byte of the body.
pub fn slow_body(pause: Duration) -> Effect {
    Effect::spoiling(move |_, answer| answer.body.pause = Some(pause))
}

/// An endless body of undeclared length.
pub fn endless_body() -> Effect {
    Effect::spoiling(|_, answer| {
        answer.remove_header("Content-Length");
        answer.body.endless = true;
        answer.body.bytes = vec![b' '; 64 * 1024].into();
    })
}

/// A false `Content-Length`.
pub fn claims_length(bytes: u64) -> Effect {
    Effect::spoiling(move |_, answer| answer.set_header("Content-Length", bytes.to_string()))
}

/// This many additional headers.
pub fn many_headers(count: usize) -> Effect {
    Effect::spoiling(move |_, answer: &mut Answer| {
        answer.headers.extend((0..count).map(|index| (format!("X-Filler-{index}"), "x".repeat(100))));
    })
}
