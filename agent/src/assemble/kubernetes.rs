//! Which pod a log file is of, by its path.
//!
//! ```text
//! /var/log/pods/NAMESPACE_POD_UID/CONTAINER/N.log             and N.log.20261121-080000(.gz) after rotation
//! /var/log/containers/POD_NAMESPACE_CONTAINER-ID.log          ID: 64 hex digits
//! ```
//!
//! Names of namespaces, pods and containers have no underscore, so the parts are certain.

use std::path::Path;

/// OpenTelemetry's attribute of the namespace.
pub const NAMESPACE: &str = "k8s.namespace.name";
/// OpenTelemetry's attribute of the pod.
pub const POD: &str = "k8s.pod.name";
/// OpenTelemetry's attribute of the container.
pub const CONTAINER: &str = "k8s.container.name";

const ID_DIGITS: usize = 64;

/// What the path of a container's log says.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct KubernetesNames {
    pub namespace: String,
    pub pod: String,
    pub container: String,
}

impl KubernetesNames {
    /// Names and values of the attributes.
    pub fn attributes(&self) -> [(&'static str, &str); 3] {
        [(NAMESPACE, &self.namespace), (POD, &self.pod), (CONTAINER, &self.container)]
    }

    /// What to call the service where neither the user nor the line says it: the container.
    pub fn default_service(&self) -> &str {
        &self.container
    }
}

/// Reads the names from a path as the kubelet makes it, wherever `/var/log` is mounted.
pub fn kubernetes_attributes(path: &Path) -> Option<KubernetesNames> {
    let mut parts = path.iter().rev().map(|part| part.to_str());
    let (file, folder) = (parts.next()??, parts.next()??);
    if folder == "containers" {
        return of_link(file);
    }
    let (pod, pods) = (parts.next()??, parts.next()??);
    let is_log = file.split_once(".log").is_some_and(|(number, _)| number.parse::<u32>().is_ok());
    if pods != "pods" || !is_log {
        return None;
    }
    let mut names = pod.split('_');
    let (namespace, pod, _uid) = (names.next()?, names.next()?, names.next()?);
    if names.next().is_some() {
        return None;
    }
    named(namespace, pod, folder)
}

fn of_link(file: &str) -> Option<KubernetesNames> {
    let (name, id) = file.strip_suffix(".log")?.rsplit_once('-')?;
    if id.len() != ID_DIGITS || !id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let mut names = name.split('_');
    let (pod, namespace, container) = (names.next()?, names.next()?, names.next()?);
    if names.next().is_some() {
        return None;
    }
    named(namespace, pod, container)
}

fn named(namespace: &str, pod: &str, container: &str) -> Option<KubernetesNames> {
    let whole = [namespace, pod, container].iter().all(|name| !name.is_empty());
    whole.then(|| KubernetesNames {
        namespace: namespace.to_owned(),
        pod: pod.to_owned(),
        container: container.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_the_kubelet_name_namespace_pod_and_container() {
        let id = "0123456789abcdef".repeat(4);
        let link = format!("/var/log/containers/orders-7d9c-x2v9k_shop_main-app-{id}.log");
        let short = "/var/log/containers/orders_shop_app-0123.log".to_owned();
        let cases = [
            ("/var/log/pods/shop_orders-7d9c-x2v9k_1b2c-3d/main-app/0.log", true),
            ("/host/var/log/pods/shop_orders-7d9c-x2v9k_1b2c-3d/main-app/12.log", true),
            (
                "/var/log/pods/shop_orders-7d9c-x2v9k_1b2c-3d/main-app/0.log.20261121-080000.gz",
                true,
            ),
            (&link, true),
            (&short, false),
            ("/var/log/pods/shop_orders_1b2c_x/main-app/0.log", false),
            ("/var/log/pods/shop_orders_1b2c/main-app/app.log", false),
            ("/var/log/pods/_orders_1b2c/main-app/0.log", false),
            ("/var/log/shop_orders_1b2c/main-app/0.log", false),
            ("/var/log/app.log", false),
            ("0.log", false),
            ("", false),
        ];
        let expected = KubernetesNames {
            namespace: "shop".into(),
            pod: "orders-7d9c-x2v9k".into(),
            container: "main-app".into(),
        };
        for (path, known) in cases {
            let names = kubernetes_attributes(Path::new(path));
            assert_eq!(names.as_ref(), known.then_some(&expected), "{path}");
        }
        assert_eq!(expected.default_service(), "main-app");
        assert_eq!(expected.attributes()[1], ("k8s.pod.name", "orders-7d9c-x2v9k"));
    }
}
