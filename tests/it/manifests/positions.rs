//! A JSON list where an object belongs is not read by position, wherever it comes from.

use registry_integrity_probe::config::Credentials;
use registry_integrity_probe::demo::fault::{answers_json, answers_with, at};
use registry_integrity_probe::demo::{Auth, Endpoint, Image, TokenService};
use registry_integrity_probe::report::{Cause, Reason};

use crate::testkit::in_process::{app, registry_with};
use crate::testkit::reports::{causes, reasons};
use crate::testkit::sweeping::Sweeping;

const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

#[tokio::test]
async fn a_manifest_whose_descriptors_are_lists_is_malformed() {
    let registry = registry_with(&app()).await;
    let (image, layer) = (app(), app());
    let (config, layer) = (image.configs().next().unwrap(), layer.layers().next().unwrap());
    let by_position = |part: &registry_integrity_probe::demo::Part| {
        format!(r#"["{}","{}",{},null,false,false,null]"#, part.media_type, part.digest, part.bytes.len())
    };
    let by_name = format!(r#"{{"digest":"{}","size":{}}}"#, config.digest, config.bytes.len());
    for (tag, members) in [
        ("layer", format!(r#""config":{by_name},"layers":[{}]"#, by_position(layer))),
        ("config", format!(r#""config":{},"layers":[]"#, by_position(config))),
        ("child", format!(r#""manifests":[{}]"#, by_position(image.root()))),
    ] {
        let manifest = Image::raw(OCI_MANIFEST, format!(r#"{{"schemaVersion":2,{members}}}"#));
        registry.push(&format!("app:{tag}"), &manifest);
    }
    let report = Sweeping::of(&registry).sweep().await;
    assert_eq!(reasons(&report), [Reason::Malformed; 3], "{report:#?}");
    assert_eq!((report.images.intact, report.images.broken), (2, 3));
}

#[tokio::test]
async fn an_error_body_of_lists_is_not_the_registry_s_signature() {
    for body in [r#"{"errors":[["MANIFEST_UNKNOWN"]]}"#, r#"[[{"code":"MANIFEST_UNKNOWN"}]]"#] {
        let registry = registry_with(&app()).await;
        registry.fault(at(Endpoint::Manifest), answers_with(404, "application/json", body));
        let report = Sweeping::of(&registry).sweep().await;
        assert_eq!((reasons(&report), report.images.unverified), (vec![], 2), "{body}: {report:#?}");
    }
}

#[tokio::test]
async fn a_list_is_no_token_and_no_page() {
    let registry = registry_with(&app()).await;
    let page = registry.fault(at(Endpoint::Catalog), answers_json(r#"[["app"]]"#));
    assert_eq!(causes(&Sweeping::of(&registry).sweep().await), [Cause::Protocol]);
    page.lift();
    registry.fault(at(Endpoint::Tags).in_repository("app"), answers_json(r#"["app",["1"]]"#));
    assert_eq!(causes(&Sweeping::of(&registry).sweep().await), [Cause::Protocol]);
    registry.require(Auth::bearer(&TokenService::new()));
    registry.fault(at(Endpoint::Token), answers_json(r#"["a-token",null,60]"#));
    registry.clear_requests();
    assert_eq!(causes(&Sweeping::of(&registry).sweep().await), [Cause::Protocol]);
    assert!(registry.requests().iter().all(|request| request.authorization.is_none()), "it was shown a token");
}

#[tokio::test]
async fn list_as_auths_entry_is_reported_without_content() {
    let registry = registry_with(&app()).await;
    registry.require(Auth::basic("probe", "hunter2"));
    let file = tempfile::NamedTempFile::new().unwrap();
    let host = registry.address();
    std::fs::write(file.path(), format!(r#"{{"auths":{{"{host}":["","probe","hunter2",""]}}}}"#)).unwrap();
    let path = file.path().to_path_buf();
    let report =
        Sweeping::of(&registry).with(|target| target.credentials = Credentials::DockerConfig(path)).sweep().await;
    assert_eq!(causes(&report), [Cause::Unauthorized]);
    let detail = &report.unverified[0].detail;
    assert!(detail.contains("entry in \"auths\" that is not a JSON object"), "{detail}");
    assert!(detail.contains(&*file.path().to_string_lossy()) && !detail.contains("hunter2"), "{detail}");
    assert!(registry.requests().iter().all(|request| request.authorization.is_none()));
}
