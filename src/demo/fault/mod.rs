//! Faults that read as a sentence: `registry.fault(on(&child.digest), answers(404))`.
//!
//! All faults that match a request apply in the order of their injection, even to responses that reject credentials.

mod connection;
mod effect;
mod list;
mod selector;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

pub use connection::{
    claims_length, cuts_body_after, delays, drops_connection, endless_body, ends_undeclared_body_after, hangs,
    many_headers, resets, slow_body, stalls_body_after,
};
pub use effect::{
    Effect, answers, answers_html, answers_range, answers_with, claims_digest, demands_named_type, hides_total,
    ignores_range, redirects_signed, redirects_to, without_digest,
};
pub use list::{
    answers_json, caps_pages_at, ignores_last, ignores_page_size, links_absolutely, links_among_others, links_by_token,
    links_to_itself, links_unquoted, links_with, links_without_brackets, lists_endlessly, lists_unordered, loses_link,
    pads_body_to, refuses_pages_over, rejects_unusable_last, repeats_entries, takes_any_page_size,
    takes_last_as_offset,
};
pub use selector::{Selector, at, everything, in_repository, on, on_tag};

use super::wire::{Answer, Request};

/// A handle of an injected fault, which stays active when the handle is dropped.
#[derive(Clone, Debug)]
pub struct Fault(Arc<Injected>);

#[derive(Debug)]
struct Injected {
    selector: Selector,
    effect: Effect,
    is_active: AtomicBool,
    matched: AtomicUsize,
    struck: AtomicUsize,
    dice: Mutex<fastrand::Rng>,
}

impl Fault {
    pub(super) fn new(selector: Selector, effect: Effect) -> Self {
        let dice = Mutex::new(fastrand::Rng::with_seed(selector.seed()));
        Self(Arc::new(Injected {
            selector,
            effect,
            is_active: AtomicBool::new(true),
            matched: AtomicUsize::new(0),
            struck: AtomicUsize::new(0),
            dice,
        }))
    }

    /// Ends the fault.
    pub fn lift(&self) {
        self.0.is_active.store(false, Ordering::SeqCst);
    }

    /// Reactivates a lifted fault.
    pub fn reinstate(&self) {
        self.0.is_active.store(true, Ordering::SeqCst);
    }

    /// Number of responses that it affected.
    pub fn strikes(&self) -> usize {
        self.0.struck.load(Ordering::SeqCst)
    }

    /// Decides, once per request, whether the fault applies.
    pub(super) fn strikes_at(&self, request: &Request) -> bool {
        let Injected { selector, is_active, matched, struck, dice, .. } = &*self.0;
        if !is_active.load(Ordering::SeqCst) || !selector.matches(request) {
            return false;
        }
        let before = matched.fetch_add(1, Ordering::SeqCst);
        let strikes = selector.covers_occurrence(before, &mut dice.lock().unwrap_or_else(PoisonError::into_inner));
        if strikes {
            struck.fetch_add(1, Ordering::SeqCst);
        }
        strikes
    }

    pub(super) fn rewrite(&self, request: &mut Request) {
        self.0.effect.rewrite(request);
    }

    pub(super) fn spoil(&self, request: &Request, answer: &mut Answer) {
        self.0.effect.spoil(request, answer);
    }
}
