//! What happened last: what broke, and what was mended.

use std::collections::{BTreeSet, HashMap};
use std::time::SystemTime;

use super::links::ImageLink;
use super::moment::{Moment, between, counted};
use super::problems::{onset, sentence};
use super::watched::Watched;
use crate::oci::Image;
use crate::render::printable;
use crate::report::Failure;

/// Images that an event names.
const IMAGES_SHOWN: usize = 3;

/// Something that happened.
pub struct Event {
    /// When it was seen.
    pub at: Moment,
    /// Of which registry.
    pub registry: String,
    /// True if it broke, false if it was mended.
    pub is_breakage: bool,
    /// The images that it hit.
    pub images: Vec<ImageLink>,
    /// More of them.
    pub images_omitted: usize,
    /// What was to blame.
    pub what: String,
    /// `broke between 02:00 and 02:15 UTC`.
    pub when: String,
}

/// An end or a beginning of a life.
struct Turn<'a> {
    watched: &'a Watched,
    failure: &'a Failure,
    at: SystemTime,
    is_breakage: bool,
}

/// The last events, the latest first, and how many more are remembered.
pub fn events(watched: &[Watched], limit: usize, now: SystemTime) -> (Vec<Event>, usize) {
    let mut turns: Vec<Turn> = Vec::new();
    for one in watched {
        let began = |failure| Turn { watched: one, failure, at: failure.first_seen, is_breakage: true };
        turns.extend(one.known.failures().iter().map(began));
        for life in &one.known.history.resolved {
            turns.push(began(&life.failure));
            turns.push(Turn { at: life.disproved_at, is_breakage: false, ..began(&life.failure) });
        }
    }
    let mut groups: Vec<Vec<Turn>> = Vec::new();
    let mut places: HashMap<(&str, &[Image], SystemTime, bool), usize> = HashMap::new();
    for turn in turns {
        // What one sweep saw happen to the same images is one event.
        let sweeps = &turn.watched.known.history.sweeps;
        let sweep = sweeps.partition_point(|sweep| sweep.ended_at < turn.at);
        let at = sweeps.get(sweep).map_or(turn.at, |sweep| sweep.ended_at);
        let key = (turn.watched.registry.name.as_str(), &turn.failure.images[..], at, turn.is_breakage);
        let place = *places.entry(key).or_insert_with(|| {
            groups.push(Vec::new());
            groups.len() - 1
        });
        groups[place].push(turn);
    }
    groups.sort_by_key(|turns| std::cmp::Reverse(turns.iter().map(|turn| turn.at).min()));
    let omitted = groups.len().saturating_sub(limit);
    (groups.iter().take(limit).filter_map(|turns| Event::of(turns, now)).collect(), omitted)
}

impl Event {
    fn of(turns: &[Turn], now: SystemTime) -> Option<Self> {
        let Turn { watched, failure, at, is_breakage } = turns.first()?;
        let registry = &watched.registry.name;
        let sentences: BTreeSet<String> = turns.iter().map(|turn| sentence(turn.failure)).collect();
        let what = match sentences.first() {
            Some(only) if sentences.len() == 1 && turns.len() == 1 => only.clone(),
            _ => counted(turns.len() as u64, "object"),
        };
        Some(Self {
            at: Moment::new(*at, now),
            registry: printable(registry),
            is_breakage: *is_breakage,
            images: failure.images.iter().take(IMAGES_SHOWN).map(|image| ImageLink::new(registry, image)).collect(),
            images_omitted: failure.images.len().saturating_sub(IMAGES_SHOWN),
            what,
            when: if *is_breakage {
                onset(&watched.known.history, failure, now)
            } else {
                format!("whole again, or not needed any more, {}", between(failure.last_seen, *at, now))
            },
        })
    }
}
