//! What kube-state-metrics says of the containers of a cluster, served to a Prometheus; there is no cluster behind it.

use std::net::SocketAddr;

use axum::Router;
use axum::routing::get;

/// Serves the series of one running container for each namespace and image, in the form of kube-state-metrics 2.
pub async fn of_containers(containers: &[(&str, &str)]) -> SocketAddr {
    let mut text = String::from("# TYPE kube_pod_container_info gauge\n");
    for (nth, (namespace, image)) in containers.iter().enumerate() {
        let pod = format!("namespace=\"{namespace}\",pod=\"pod-{nth}\",uid=\"{nth}\"");
        let id = format!("image_id=\"\",container_id=\"containerd://{nth}\"");
        text += &format!(
            "kube_pod_container_info{{{pod},container=\"main\",image_spec=\"{image}\",image=\"{image}\",{id}}} 1\n"
        );
    }
    text += "# TYPE kube_pod_status_phase gauge\n";
    for (nth, (namespace, _)) in containers.iter().enumerate() {
        for (phase, value) in [("Running", 1), ("Succeeded", 0), ("Failed", 0)] {
            text += &format!(
                "kube_pod_status_phase{{namespace=\"{namespace}\",pod=\"pod-{nth}\",uid=\"{nth}\",phase=\"{phase}\"}} {value}\n"
            );
        }
    }
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("a bound listener has an address");
    let metrics = get(|| async move { text });
    tokio::spawn(async { axum::serve(listener, Router::new().route("/metrics", metrics)).await });
    address
}
