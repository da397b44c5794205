//! What lies in `deploy/`: each configuration is read by the program that it is for, and what is said in two files
//! is said alike.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "deploy/compose.rs"]
mod compose;
mod server;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use saphyr::{LoadableYamlNode, YamlOwned};

/// Units, with the program and the configuration that each is for.
const UNITS: [(&str, &str, &str); 2] =
    [("logq-agent.service", "logq-agent", "agent.toml"), ("logq.service", "logq", "logq.toml")];

fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("deploy")
}

fn read(name: &str) -> String {
    std::fs::read_to_string(deploy().join(name)).unwrap()
}

/// Every file below the folder that ends so.
fn files_ending(suffix: &str) -> Vec<PathBuf> {
    let mut folders = vec![deploy()];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.to_string_lossy().ends_with(suffix) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn agent_options(path: &Path) -> agent::daemon::AgentOptions {
    let options = agent::daemon::load_file(Some(path));
    let options = options.unwrap_or_else(|faults| panic!("{}:\n{faults}", path.display()));
    assert!(options.sources() > 0, "{} names no source", path.display());
    options
}

#[test]
fn every_configuration_is_read_by_its_program() {
    for path in files_ending(".toml") {
        match path.file_name().unwrap().to_str().unwrap() {
            "agent.toml" => drop(agent_options(&path)),
            "logq.toml" => {
                let check = Command::new(env!("CARGO_BIN_EXE_logq"))
                    .arg("check-config")
                    .arg(&path)
                    .output()
                    .unwrap();
                assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stderr));
            }
            _ => panic!("{}: say here which program reads it", path.display()),
        }
    }
}

/// The keys of a unit with all their values, `Section.Key`; comments and empty lines left out.
fn unit(text: &str) -> BTreeMap<String, Vec<String>> {
    let mut keys: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut section = String::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if line.starts_with('#') {
            continue;
        }
        match line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            Some(name) => section = name.to_owned(),
            None => {
                let (key, value) = line.split_once('=').unwrap_or_else(|| panic!("{line:?}"));
                keys.entry(format!("{section}.{key}")).or_default().push(value.to_owned());
            }
        }
    }
    keys
}

#[test]
fn units_start_their_program_on_their_configuration_and_let_it_write_to_its_state_alone() {
    assert_eq!(files_ending(".service").len(), UNITS.len());
    for (name, program, config) in UNITS {
        let unit = unit(&read(name));
        let only = |key: &str| match unit.get(key).map(Vec::as_slice) {
            Some([value]) => value.as_str(),
            other => panic!("{name}: {key} is {other:?}"),
        };
        let command = only("Service.ExecStart");
        assert!(command.starts_with(&format!("/usr/local/bin/{program} ")), "{command}");
        assert!(command.contains(&format!("--config /etc/logq/{config}")), "{command}");
        let state = format!("/var/lib/{}", only("Service.StateDirectory"));
        assert_eq!(only("Service.ReadWritePaths"), state);
        assert_eq!(only("Service.ProtectSystem"), "strict");
        let said = ["state", "data"].map(|key| format!("\n{key} = \"{state}\""));
        assert!(said.iter().any(|said| read(config).contains(said)), "{config} is not at {state}");
        assert_ne!(only("Service.User"), "root");
        for (key, value) in [("Restart", "always"), ("NoNewPrivileges", "yes")] {
            assert_eq!(only(&format!("Service.{key}")), value);
        }
        assert!(unit.contains_key("Service.MemoryMax") && unit.contains_key("Install.WantedBy"));
    }
    let reload = &unit(&read("logq-agent.service"))["Service.ExecReload"];
    assert_eq!(reload, &["/bin/kill -HUP $MAINPID"]);
}

#[test]
fn systemd_finds_no_fault_with_the_units() {
    let folder = tempfile::tempdir().unwrap();
    for (name, program, _) in UNITS {
        // The programs are not installed here, and that would be a fault.
        let installed = read(name).replace(&format!("/usr/local/bin/{program} "), "/bin/true ");
        let path = folder.path().join(name);
        std::fs::write(&path, installed).unwrap();
        match Command::new("systemd-analyze").arg("verify").arg(&path).output() {
            Ok(verified) => {
                let said = String::from_utf8_lossy(&verified.stderr);
                assert!(verified.status.success(), "{name}: {said}");
                assert!(!said.contains(name), "{name}: {said}");
            }
            Err(error) => eprintln!("NOT CHECKED: systemd-analyze verify {name}: {error}"),
        }
    }
}

/// The documents of the DaemonSet's file, by their kinds.
fn manifests() -> BTreeMap<String, YamlOwned> {
    let documents = YamlOwned::load_from_str(&read("kubernetes/daemonset.yaml")).unwrap();
    let of_kind = |document| (text(&document, "kind").to_owned(), document);
    documents.into_iter().map(of_kind).collect()
}

/// What is at a place like `spec/containers/0/name`.
fn find<'a>(node: &'a YamlOwned, place: &str) -> Option<&'a YamlOwned> {
    place.split('/').try_fold(node, |node, step| match step.parse() {
        Ok(index) => node.as_sequence_get(index),
        Err(_) => node.as_mapping_get(step),
    })
}

fn text<'a>(node: &'a YamlOwned, place: &str) -> &'a str {
    let found = find(node, place).and_then(YamlOwned::as_str);
    found.unwrap_or_else(|| panic!("no text at {place}"))
}

fn list<'a>(node: &'a YamlOwned, place: &str) -> &'a [YamlOwned] {
    find(node, place).and_then(YamlOwned::as_vec).unwrap_or_else(|| panic!("no list at {place}"))
}

#[test]
fn the_daemon_set_gives_the_agent_what_its_configuration_names() {
    let manifests = manifests();
    let (config, set) = (&manifests["ConfigMap"], &manifests["DaemonSet"]);
    let toml = text(config, "data/agent.toml");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("agent.toml");
    std::fs::write(&path, toml).unwrap();
    let options = agent_options(&path);

    let pod = find(set, "spec/template/spec").unwrap();
    let agent = find(pod, "containers/0").unwrap();
    let mounts = list(agent, "volumeMounts");
    let volume = |mount: &str| {
        let mounted = mounts.iter().find(|it| text(it, "mountPath") == mount);
        let name = text(mounted.unwrap_or_else(|| panic!("nothing is mounted at {mount}")), "name");
        let volume = list(pod, "volumes").iter().find(|it| text(it, "name") == name);
        volume.unwrap_or_else(|| panic!("no volume {name}"))
    };
    assert_eq!(text(volume("/etc/logq"), "configMap/name"), text(config, "metadata/name"));
    // At the same places as on the node: Docker's links are absolute, and the state is the node's.
    for mount in mounts.iter().map(|it| text(it, "mountPath")).filter(|it| *it != "/etc/logq") {
        assert_eq!(text(volume(mount), "hostPath/path"), mount);
    }
    for mount in ["/var/log/pods", "/etc/machine-id"] {
        volume(mount);
    }
    let writable: Vec<&str> = mounts
        .iter()
        .filter(|mount| find(mount, "readOnly").and_then(YamlOwned::as_bool) != Some(true))
        .map(|mount| text(mount, "mountPath"))
        .collect();
    assert_eq!(writable, [options.state.to_str().unwrap()]);
    assert!(toml.contains("include = [\"/var/log/pods/"));

    let command: Vec<&str> = list(agent, "command").iter().filter_map(YamlOwned::as_str).collect();
    assert_eq!(command, ["/usr/local/bin/logq-agent", "--config", "/etc/logq/agent.toml", "run"]);
    let port = find(agent, "ports/0/containerPort").and_then(YamlOwned::as_integer).unwrap();
    assert_eq!(options.http, format!("0.0.0.0:{port}"), "the kubelet asks from outside the pod");
    assert_eq!(text(agent, "livenessProbe/httpGet/port"), text(agent, "ports/0/name"));
    for bound in ["resources/limits/memory", "resources/limits/cpu", "resources/requests/memory"] {
        text(agent, bound);
    }
    let labels = "spec/template/metadata/labels";
    assert_eq!(find(set, "spec/selector/matchLabels"), find(set, labels));
    let account = text(&manifests["ServiceAccount"], "metadata/name");
    assert_eq!(text(pod, "serviceAccountName"), account);
    let namespace = text(&manifests["Namespace"], "metadata/name");
    for kind in ["ServiceAccount", "ConfigMap", "DaemonSet"] {
        assert_eq!(text(&manifests[kind], "metadata/namespace"), namespace, "{kind}");
    }
}
