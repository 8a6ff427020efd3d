//! As much of a Kubernetes API server as the pages' commands of `kubectl` ask: kubectl is the real one, the cluster is not.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use url::Url;

/// Pods, and one deployment.
#[derive(Clone)]
pub struct Cluster {
    pods: Arc<Vec<Value>>,
    deployment: Arc<Mutex<Value>>,
}

/// A pod of one container.
pub fn pod(namespace: &str, name: &str, app: &str, image: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": {"app.kubernetes.io/name": app}},
        "spec": {"nodeName": "node-1", "containers": [{"name": "main", "image": image}]},
        "status": {"phase": "Running"},
    })
}

impl Cluster {
    pub fn new(pods: Vec<Value>) -> Self {
        let deployment = json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "page", "namespace": "web"},
            "spec": {
                "selector": {"matchLabels": {"app": "page"}},
                "template": {"metadata": {"labels": {"app": "page"}}, "spec": {"containers": []}},
            },
        });
        Self { pods: Arc::new(pods), deployment: Arc::new(Mutex::new(deployment)) }
    }

    pub async fn listen(&self) -> SocketAddr {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let app = Router::new().fallback(answer).with_state(self.clone());
        tokio::spawn(async { axum::serve(listener, app).await });
        address
    }

    /// Whether the roll-out of the deployment is paused.
    pub fn is_paused(&self) -> bool {
        self.deployment.lock().unwrap()["spec"]["paused"] == true
    }

    /// Those that a label selector of one label wants.
    fn pods(&self, uri: &Uri) -> Value {
        let url = Url::parse(&format!("http://cluster{uri}")).unwrap();
        let selector = url.query_pairs().find(|(key, _)| key == "labelSelector").map(|(_, value)| value.into_owned());
        let wanted = selector.as_deref().filter(|it| !it.is_empty()).map(|it| it.split_once('=').unwrap());
        let is_wanted = |pod: &&Value| wanted.is_none_or(|(key, value)| pod["metadata"]["labels"][key] == value);
        let items: Vec<&Value> = self.pods.iter().filter(is_wanted).collect();
        json!({"apiVersion": "v1", "kind": "PodList", "metadata": {"resourceVersion": "1"}, "items": items})
    }
}

fn resources(version: &str, name: &str, kind: &str) -> Value {
    let verbs = ["get", "list", "patch"];
    let resource = json!({"name": name, "singularName": "", "namespaced": true, "kind": kind, "verbs": verbs});
    json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version, "resources": [resource]})
}

async fn answer(State(cluster): State<Cluster>, method: Method, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let found = match (method, uri.path()) {
        (Method::GET, "/api") => json!({"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}),
        (Method::GET, "/apis") => {
            let version = json!({"groupVersion": "apps/v1", "version": "v1"});
            let group = json!({"name": "apps", "versions": [version], "preferredVersion": version});
            json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": [group]})
        }
        (Method::GET, "/api/v1") => resources("v1", "pods", "Pod"),
        (Method::GET, "/apis/apps/v1") => resources("apps/v1", "deployments", "Deployment"),
        (Method::GET, "/api/v1/pods") => cluster.pods(&uri),
        (Method::GET, "/apis/apps/v1/namespaces/web/deployments/page") => cluster.deployment.lock().unwrap().clone(),
        (Method::PATCH, "/apis/apps/v1/namespaces/web/deployments/page") => {
            let kind = headers[header::CONTENT_TYPE].to_str().unwrap();
            assert_eq!(kind, "application/strategic-merge-patch+json");
            let patch: Value = serde_json::from_slice(&body).unwrap();
            let mut deployment = cluster.deployment.lock().unwrap();
            deployment["spec"]["paused"] = patch["spec"]["paused"].clone();
            deployment.clone()
        }
        _ => {
            let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 404});
            return (StatusCode::NOT_FOUND, axum::Json(status)).into_response();
        }
    };
    axum::Json(found).into_response()
}
