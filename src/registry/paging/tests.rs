use super::evidence::is_usual_cap;
use super::*;

const BOUNDS: Bounds = Bounds { names: 10_000, bytes: 1 << 20 };

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}

fn page(names: Vec<String>, next: Option<&str>) -> PageResponse {
    PageResponse::Page(Page { names, is_cut: false }, next.map(str::to_string))
}

fn numbered(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("t{n:05}")).collect()
}

fn list(is_catalog: bool, size: Option<usize>) -> Paging {
    let mut list = Paging::new(is_catalog, BOUNDS, None);
    list.set_size(size);
    list
}

fn after(name: &str) -> PageRequest {
    PageRequest::After(name.to_string())
}

fn refused(cause: Cause) -> PageResponse {
    PageResponse::Refused(Trouble::new(cause, "GET 400"))
}

#[test]
fn queries() {
    assert_eq!(PageRequest::Start.query(Some(1000)), "n=1000");
    assert_eq!(PageRequest::Start.query(None), "");
    assert_eq!(after("a/0x").query(Some(1000)), "n=1000&last=a%2F0x");
    assert_eq!(after("a&b").query(None), "last=a%26b");
    assert_eq!(
        (PageRequest::One.query(None), PageRequest::AtOnce(7).query(Some(1000))),
        ("n=1".to_string(), "n=7".to_string())
    );
}

#[test]
fn only_a_tag_list_whose_last_page_may_be_full_needs_a_proof() {
    for (count, asks) in [(12, false), (49, false), (50, true), (128, true), (500, true), (999, false), (1000, true)] {
        let next = list(false, Some(1000)).next(&PageRequest::Start, page(numbered(count), None)).unwrap();
        assert_eq!(next.is_some(), asks, "{count}");
    }
    let next = list(false, None).next(&PageRequest::Start, page(numbered(2), None)).unwrap();
    assert_eq!(next, Some(after("t00001")), "without `n` any page may be full");
    let next = list(true, Some(1000)).next(&PageRequest::Start, page(numbered(2), None)).unwrap();
    assert_eq!(next, Some(after("t00001")), "the catalog is always proved");
    let mut truncated_elsewhere = Paging::new(false, BOUNDS, Some(37));
    truncated_elsewhere.set_size(Some(1000));
    assert_eq!(truncated_elsewhere.next(&PageRequest::Start, page(numbered(37), None)).unwrap(), Some(after("t00036")));
}

#[test]
fn usual_caps_are_round_numbers_from_fifty() {
    let usual: Vec<usize> = (1..=1_000).filter(|&count| is_usual_cap(count)).collect();
    assert_eq!(usual, [50, 64, 100, 128, 200, 250, 256, 500, 512, 1_000]);
    assert!([2_000, 2_500, 5_000, 10_000].into_iter().all(is_usual_cap) && !is_usual_cap(1_500));
}

#[test]
fn orders_that_registries_use_are_recognised() {
    for ordered in [
        names(&["a-b", "a/b", "ab"]),
        names(&["a", "a/b", "a-b"]),
        names(&["a/1", "a/2", "a", "a/x", "a-b"]),
        names(&["a", "a"]),
        names(&[]),
    ] {
        assert!(is_in_order(&ordered), "{ordered:?}");
    }
    assert!(!is_in_order(&names(&["b", "a"])));
}

#[test]
fn an_unordered_list_is_complete_only_if_the_registry_continues_by_position() {
    let read = |last: &str, shown: &[&str]| {
        let mut list = list(true, None);
        assert_eq!(list.next(&PageRequest::Start, page(names(shown), None)).unwrap(), Some(after(last)));
        list.next(&after(last), page(Vec::new(), None)).unwrap()
    };
    assert_eq!(read("a", &["c", "b", "a"]), None, "a registry that compares names would have repeated b and c");
    assert_eq!(read("c", &["b", "a", "c"]), Some(PageRequest::One), "one that compares may have omitted smaller names");
}

#[test]
fn a_rejected_request_does_not_prove_that_a_full_page_is_the_last() {
    for cause in [Cause::Protocol, Cause::ServerError, Cause::Timeout, Cause::Unauthorized] {
        let mut short = list(true, Some(1000));
        let ask = short.next(&PageRequest::Start, page(numbered(12), None)).unwrap().unwrap();
        assert_eq!(short.next(&ask, refused(cause)).unwrap(), None, "a page of 12 names is not full");
    }
    let mut full = list(true, Some(1000));
    let ask = full.next(&PageRequest::Start, page(numbered(1000), None)).unwrap().unwrap();
    assert_eq!(full.next(&ask, refused(Cause::Protocol)).unwrap(), Some(PageRequest::One));
    assert_eq!(full.next(&PageRequest::One, page(numbered(1), None)).unwrap(), Some(after("t00998")));
    assert_eq!(full.next(&after("t00998"), refused(Cause::Protocol)).unwrap(), Some(PageRequest::AtOnce(10_001)));
    assert_eq!(
        full.next(&PageRequest::AtOnce(10_001), refused(Cause::Protocol)).unwrap(),
        Some(PageRequest::AtOnce(1_001))
    );
    let trouble = full.next(&PageRequest::AtOnce(1_001), page(numbered(1_000), None)).unwrap_err();
    assert_eq!(trouble.cause, Cause::Incomplete);
    let mut down = list(true, Some(1000));
    let ask = down.next(&PageRequest::Start, page(numbered(1000), None)).unwrap().unwrap();
    assert_eq!(down.next(&ask, refused(Cause::Timeout)).unwrap_err().cause, Cause::Timeout);
}

#[test]
fn a_rejected_link_is_not_the_end() {
    let mut list = list(false, Some(1000));
    let ask = list.next(&PageRequest::Start, page(numbered(100), Some("n=100&last=t00099"))).unwrap().unwrap();
    assert_eq!(ask, PageRequest::Link("n=100&last=t00099".to_string()));
    assert_eq!(list.next(&ask, refused(Cause::Protocol)).unwrap(), Some(after("t00099")), "without the link's own `n`");
    assert_eq!(list.next(&after("t00099"), refused(Cause::Protocol)).unwrap(), Some(after("t00098")));
    assert_eq!(list.next(&after("t00098"), refused(Cause::Protocol)).unwrap(), Some(PageRequest::AtOnce(10_001)));
}

#[test]
fn a_list_paged_by_tokens_ends_with_the_page_without_a_link() {
    let mut list = list(true, Some(1000));
    let ask = list.next(&PageRequest::Start, page(numbered(100), Some("next_page=x"))).unwrap().unwrap();
    assert_eq!(list.next(&ask, page(names(&["z"]), None)).unwrap(), None);
}

#[test]
fn a_registry_that_starts_again_after_the_last_name_is_asked_for_the_rest_after_the_one_before() {
    let read = |rest: Vec<String>| {
        let mut list = list(false, Some(1000));
        for (request, names, next) in [
            (PageRequest::Start, numbered(100), Some(after("t00099"))),
            (after("t00099"), numbered(100), Some(PageRequest::One)),
            (PageRequest::One, numbered(1), Some(after("t00098"))),
        ] {
            assert_eq!(list.next(&request, page(names, None)).unwrap(), next);
        }
        list.next(&after("t00098"), page(rest, None)).unwrap()
    };
    assert_eq!(read(names(&["t00099"])), None);
    assert_eq!(read(numbered(100)), Some(PageRequest::AtOnce(10_001)), "`last` is ignored");
    assert_eq!(read(numbered(99)), Some(PageRequest::AtOnce(10_001)), "and a name was deleted meanwhile");
}
