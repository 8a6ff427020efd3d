//! Effects on catalogs and tag lists.

use serde_json::{Value, json};

use super::effect::{Effect, answers_with};
use crate::demo::api;
use crate::demo::paging::{Last, Paging};
use crate::demo::wire::{Answer, Request};

/// Rewrites `Link` from the request and the original target.
pub fn links_with(rewrite: impl Fn(&Request, &str) -> String + Send + Sync + 'static) -> Effect {
    Effect::spoiling(move |request, answer| {
        let target = answer.get_header("Link").and_then(|link| link.strip_prefix('<')?.split_once('>'));
        if let Some(link) = target.map(|(target, _)| rewrite(request, target)) {
            answer.set_header("Link", link);
        }
    })
}

/// Absolute URLs in `Link`.
pub fn links_absolutely() -> Effect {
    links_with(|request, target| {
        format!("<http://{}{target}>; rel=\"next\"", request.header("host").unwrap_or_default())
    })
}

/// `rel=next` without quotes.
pub fn links_unquoted() -> Effect {
    links_with(|_, target| format!("<{target}>; rel=next"))
}

/// Every `Link` refers to its own page.
pub fn links_to_itself() -> Effect {
    Effect::spoiling(|request, answer| {
        answer.set_header("Link", format!("<{}?{}>; rel=\"next\"", request.path, request.query));
    })
}

/// No `Link`, so that the list is silently truncated.
pub fn loses_link() -> Effect {
    Effect::spoiling(|_, answer| answer.remove_header("Link"))
}

/// `url; rel=next`, without the angle brackets.
pub fn links_without_brackets() -> Effect {
    links_with(|_, target| format!("{target}; rel=next"))
}

/// The link to the next page is in a second `Link` header, after links with other relations.
pub fn links_among_others() -> Effect {
    Effect::spoiling(|_, answer| {
        if let Some(next) = answer.get_header("Link").map(str::to_string) {
            answer.set_header("Link", r#"</v2/>; rel="first", </v2/_catalog?n=1>; rel="prev"; title="a, b; rel=next""#);
            answer.headers.push(("Link".to_string(), format!(r#"</v2/_catalog?n=2>; rel="last" , {next}"#)));
        }
    })
}

/// Changes the paging of the list.
fn paging(change: impl Fn(&mut Paging) + Send + Sync + 'static) -> Effect {
    Effect::rewriting(move |request| change(&mut request.paging))
}

/// The first page again and again.
pub fn ignores_last() -> Effect {
    paging(|paging| paging.last = Last::Nothing)
}

/// All names in one page, for any `n`.
pub fn ignores_page_size() -> Effect {
    paging(|paging| paging.ignores_size = true)
}

/// Any `n` is accepted.
pub fn takes_any_page_size() -> Effect {
    paging(|paging| paging.takes_any_size = true)
}

/// Pages are silently limited to this many names.
pub fn caps_pages_at(limit: usize) -> Effect {
    paging(move |paging| paging.cap = Some(limit))
}

/// `last` is the number of names before the page; anything else is ignored.
pub fn takes_last_as_offset() -> Effect {
    paging(|paging| paging.last = Last::Offset)
}

/// Links carry an opaque token in this parameter; a name as `last` is ignored.
pub fn links_by_token(parameter: &'static str) -> Effect {
    paging(move |paging| paging.last = Last::Token(parameter))
}

/// This status for a `last` without meaning to the registry.
pub fn rejects_unusable_last(status: u16) -> Effect {
    paging(move |paging| paging.refusal = Some(status))
}

/// Names are in a stable order that is not sorted.
pub fn lists_unordered() -> Effect {
    paging(|paging| paging.is_unordered = true)
}

/// Every name twice.
pub fn repeats_entries() -> Effect {
    Effect::spoiling(|_, answer| {
        let Ok(mut page) = serde_json::from_slice::<Value>(&answer.body.bytes) else { return };
        for list in page.as_object_mut().into_iter().flatten().filter_map(|(_, member)| member.as_array_mut()) {
            *list = list.iter().flat_map(|name| [name.clone(), name.clone()]).collect();
        }
        answer.body.bytes = page.to_string().into();
    })
}

/// Pages that never end, each of 100 new names.
pub fn lists_endlessly() -> Effect {
    Effect::spoiling(|request, answer| {
        let last = request.parameter("last").unwrap_or_default();
        let start: u64 =
            last.rsplit('-').next().and_then(|number| number.parse().ok()).map_or(0, |number: u64| number + 1);
        let names: Vec<String> = (start..start + 100).map(|number| format!("endless-{number:012}")).collect();
        let name = request.route.repository();
        let page = match name {
            Some(name) => json!({"name": name, "tags": names}),
            None => json!({"repositories": names}),
        };
        let link = format!("<{}?last=endless-{:012}&n=100>; rel=\"next\"", request.path, start + 99);
        *answer = Answer { delay: answer.delay, ..api::json_answer(200, &page).header("Link", link) };
    })
}

/// 400 for a page size above this limit.
pub fn refuses_pages_over(limit: usize) -> Effect {
    Effect::spoiling(move |request, answer| {
        let asked = request.parameter("n").and_then(|n| n.parse::<usize>().ok());
        if let Some(asked) = asked.filter(|asked| *asked > limit) {
            let message = "invalid number of results requested";
            *answer = api::error(400, "PAGINATION_NUMBER_INVALID", message, json!({"n": asked}));
        }
    })
}

/// Pads the body with spaces to this length.
pub fn pads_body_to(length: usize) -> Effect {
    Effect::spoiling(move |_, answer| {
        let mut bytes = answer.body.bytes.to_vec();
        bytes.resize(length.max(bytes.len()), b' ');
        answer.remove_header("Content-Length");
        answer.body.bytes = bytes.into();
    })
}

/// 200 with this JSON body.
pub fn answers_json(json: &'static str) -> Effect {
    answers_with(200, "application/json; charset=utf-8", json)
}
