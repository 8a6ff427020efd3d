//! Recent events: failures that were detected or resolved.

use std::collections::HashMap;
use std::time::SystemTime;

use super::links::ImageLink;
use super::moment::{Moment, counted, range};
use super::problems::{onset, past_sentence, sentence};
use super::watched::Watched;
use crate::oci::Image;
use crate::render::printable;
use crate::report::Failure;

/// Images listed in an event.
const IMAGES_SHOWN: usize = 3;

/// Failures that one sweep detected or resolved.
pub struct Event {
    /// When the sweep saw it.
    pub at: Moment,
    /// The registry's name.
    pub registry: String,
    /// True if failures were detected, false if they were resolved.
    pub is_breakage: bool,
    /// The affected images.
    pub images: Vec<ImageLink>,
    /// Number of images that are not listed.
    pub images_omitted: usize,
    /// `The config is missing. Broke between 02:00 and 02:15 UTC`.
    pub text: String,
}

/// A failure that was detected or resolved.
struct Turn<'a> {
    watched: &'a Watched,
    failure: &'a Failure,
    at: SystemTime,
    is_breakage: bool,
}

/// The most recent events, latest first, and the number of earlier ones.
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
        // All changes that one sweep saw for the same images are one event.
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
        let count = counted(turns.len() as u64, "object");
        let text = match (*is_breakage, turns.len()) {
            (true, 1) => format!("{}. {}", sentence(failure), onset(&watched.known.history, failure, now)),
            (true, _) => format!("{count} are broken. {}", onset(&watched.known.history, failure, now)),
            (false, 1) => past_sentence(failure, *at, now),
            (false, _) => format!(
                "{count} were broken; they were restored, or are no longer referenced ({})",
                range(failure.last_seen, *at, now)
            ),
        };
        Some(Self {
            at: Moment::new(*at, now),
            registry: printable(registry),
            is_breakage: *is_breakage,
            images: failure.images.iter().take(IMAGES_SHOWN).map(|image| ImageLink::new(registry, image)).collect(),
            images_omitted: failure.images.len().saturating_sub(IMAGES_SHOWN),
            text,
        })
    }
}
