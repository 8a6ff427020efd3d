//! What a pod may do: as little as the restricted Pod Security Standard asks for, and nothing in the cluster.

use serde_json::{Value, json};

use crate::objects::{container, everything, kind, parse, the, workload};

#[test]
fn no_pod_may_do_more_than_it_needs() {
    let Some(all) = everything() else { return };
    for (name, text) in all {
        let objects = parse(&text);
        let (_, template) = workload(&objects);
        let pod = &template["spec"];
        assert_eq!(pod["automountServiceAccountToken"], false, "{name}");
        assert_eq!(pod["enableServiceLinks"], false, "{name}");
        let security = &pod["securityContext"];
        assert_eq!(security["runAsNonRoot"], true, "{name}");
        assert_eq!(security["runAsUser"], 65532, "{name}");
        assert_eq!(security["runAsGroup"], 65532, "{name}");
        assert_eq!(security["seccompProfile"], json!({"type": "RuntimeDefault"}), "{name}");
        for shared in ["hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace"] {
            assert_eq!(pod[shared], Value::Null, "{name}: {shared}");
        }
        let container = container(template);
        let wanted = json!({
            "allowPrivilegeEscalation": false,
            "readOnlyRootFilesystem": true,
            "capabilities": {"drop": ["ALL"]},
        });
        assert_eq!(container["securityContext"], wanted, "{name}");
        assert!(container["resources"]["requests"]["cpu"].is_string(), "{name}");
        assert!(container["resources"]["requests"]["memory"].is_string(), "{name}");
        assert!(container["resources"]["limits"]["memory"].is_string(), "{name}");
        for mount in container["volumeMounts"].as_array().unwrap() {
            assert!(mount["readOnly"] == true || mount["mountPath"] == "/var/lib/probe", "{name}: {mount}");
        }
        for volume in pod["volumes"].as_array().unwrap() {
            assert_eq!(volume["hostPath"], Value::Null, "{name}: {volume}");
        }
    }
}

#[test]
fn nobody_gets_a_right_in_the_cluster() {
    let Some(all) = everything() else { return };
    for (name, text) in all {
        let objects = parse(&text);
        for object in &objects {
            assert!(!object["apiVersion"].as_str().unwrap().starts_with("rbac."), "{name}: {}", kind(object));
            assert_ne!(kind(object), "Secret", "{name}: secrets are referred to, and never made here");
        }
        if objects.iter().any(|object| kind(object) == "ServiceAccount") {
            let account = the(&objects, "ServiceAccount");
            assert_eq!(account["automountServiceAccountToken"], false, "{name}");
            assert_eq!(account["metadata"]["name"], workload(&objects).1["spec"]["serviceAccountName"], "{name}");
        }
    }
}
